// Hierarchical softmax: the loss of a group of rows and its gradients.
#pragma once

#include "rows.h"

namespace w2v {

// Paths of the Huffman tree as `split_paths` of w2v_jax/models/huffman.py cuts them. A row scores the nodes 0 to tops - 1
// against all of its vectors, the other nodes only where a path has them.
struct Tree {
  const int *exits, *nodes;
  const int8_t *exit_signs, *signs;
  int all, tops, depth, absent;  // T; at most T; Q; an id beyond the table
  int* ids;  // [R (T + L Q)] a group of rows has its places one after another: nodes 0 to T - 1, others once each, `absent`
  std::vector<int> begin{0}, top;  // the nodes of exit e from `tops` to T - 1: top[begin[e]] to top[begin[e + 1] - 1]
  std::vector<float> top_turn;     // 1 where its path turns to code 0 there

  void list_tops(int count) {
    for (int e = 0; e < count; e++) {
      for (int n = tops; n < all; n++)
        if (const int8_t sign = exit_signs[e * long(all) + n]) top.push_back(n), top_turn.push_back(sign > 0);
      begin.push_back(top.size());
    }
  }

  // The nodes of a word's path from `tops` on, and 1 where it turns to code 0; `upper` of them are below T.
  int path(int word, int* node, float* turn, int& upper) const {
    const int first = begin[exits[word]], *below = nodes + long(word) * depth;
    const int8_t* rest = signs + long(word) * depth;
    int count = upper = begin[exits[word] + 1] - first;
    std::copy_n(top.data() + first, count, node);
    std::copy_n(top_turn.data() + first, count, turn);
    for (int q = 0; q < depth && rest[q]; q++) {
      turn[count] = rest[q] > 0;
      node[count++] = below[q];
    }
    return count;
  }
};

// The nodes that a group of rows shares. Each has one place, for its row of C and for the gradients that it collects.
struct Named {
  const Tree& tree;
  float *kept, *to;  // rows of C and their gradients, by place
  float* columns;    // [D, broad] the first `tops` rows of C, and zeros
  int* ids;          // the node of each place
  int* places;       // the place of each node; -1 where it has none, and between calls
  int found;         // places that are taken

  // `most`: places that the group has.
  Named(const Text& t, const Tree& tree, Scratch& scratch, int* ids, float* to, long most)
      : tree(tree), to(to), ids(ids), found(tree.all) {
    const int broad = round_up(tree.tops);
    static thread_local std::vector<int> kept_places;
    if (int(kept_places.size()) < tree.absent) kept_places.assign(tree.absent, -1);
    places = kept_places.data();
    std::iota(ids, ids + found, 0);
    kept = scratch.take(std::max<long>(std::min<long>(most, tree.absent), broad) * t.padded);
    t.copy(t.outputs, ids, 0, tree.all, tree.all, kept);
    if (broad > tree.all) std::memset(kept + long(tree.all) * t.padded, 0, long(broad - tree.all) * t.padded * sizeof(float));
    columns = scratch.take(long(t.dim) * broad);
    transpose(kept, t.padded, broad, t.dim, columns, broad);
    std::memset(to, 0, long(tree.all) * t.padded * sizeof(float));
  }

  // On their way to the caches: the path of the centre `later`, and for the nearer centre `next` the nodes of its path,
  // from C, or from `kept` and `to` where they have a place.
  void prefetch(const Text& t, int later, int next) const {
    __builtin_prefetch(tree.exits + later);
    __builtin_prefetch(tree.signs + long(later) * tree.depth);
    __builtin_prefetch(tree.nodes + long(later) * tree.depth);
    for (long q = long(next) * tree.depth, end = q + tree.depth; q < end && tree.signs[q]; q++)
      if (const int place = places[tree.nodes[q]]; place < 0) {
        t.prefetch(t.outputs, tree.nodes[q]);
      } else {
        for (int d = 0; d < t.padded; d += 16) {
          __builtin_prefetch(kept + long(place) * t.padded + d);
          __builtin_prefetch(to + long(place) * t.padded + d, 1);
        }
      }
  }

  void finish(long most) {
    for (int i = tree.all; i < found; i++) places[ids[i]] = -1;
    std::fill(ids + found, ids + most, tree.absent);
  }
};

// N vectors of the rows at the places `list`, which lie `row` numbers apart: their dot products with `from`, added if
// asked; and `from` times the numbers `by`, added to the rows whose place is before `first`, or written.
template <int N>
void dot_chunk(const float* rows, const int* list, int count, long row, const float* from, float* out, bool add) {
  Vector own[N];
#pragma GCC unroll 8
  for (int n = 0; n < N; n++) own[n] = load(from + n * LANES);
  for (int q = 0; q < count; q++) {
    const float* at = rows + list[q] * row;
    Vector total{}, other{};
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) (n % 2 ? other : total) += own[n] * load(at + n * LANES);
    out[q] = sum(total + other) + (add ? out[q] : 0.f);
  }
}
template <int N>
void push_chunk(float* rows, const int* list, int count, long row, const float* from, const float* by, int first) {
  Vector own[N];
#pragma GCC unroll 8
  for (int n = 0; n < N; n++) own[n] = load(from + n * LANES);
  for (int q = 0; q < count; q++) {
    float* at = rows + list[q] * row;
    const Vector factor = Vector{} + by[q];
    if (list[q] < first) {
#pragma GCC unroll 8
      for (int n = 0; n < N; n++) store(at + n * LANES, load(at + n * LANES) + factor * own[n]);
    } else {
#pragma GCC unroll 8
      for (int n = 0; n < N; n++) store(at + n * LANES, factor * own[n]);
    }
  }
}
inline void dot_rows(const float* rows, const int* list, int count, long row, const float* from, float* out) {
  static constexpr decltype(&dot_chunk<1>) chunks[] = {dot_chunk<1>, dot_chunk<2>, dot_chunk<3>, dot_chunk<4>,
                                                       dot_chunk<5>, dot_chunk<6>, dot_chunk<7>, dot_chunk<8>};
  for (int d = 0; d < row; d += 8 * LANES)
    chunks[std::min<int>(8, (row - d) / LANES) - 1](rows + d, list, count, row, from + d, out, d);
}
inline void push_rows(float* rows, const int* list, int count, long row, const float* from, const float* by, int first) {
  static constexpr decltype(&push_chunk<1>) chunks[] = {push_chunk<1>, push_chunk<2>, push_chunk<3>, push_chunk<4>,
                                                        push_chunk<5>, push_chunk<6>, push_chunk<7>, push_chunk<8>};
  for (int d = 0; d < row; d += 8 * LANES)
    chunks[std::min<int>(8, (row - d) / LANES) - 1](rows + d, list, count, row, from + d, by, first);
}

// One row's loss, its vectors `hidden`, and the gradients that it collects.
struct Paths {
  Row& row;
  Named& named;
  const Tree& tree;
  const float* hidden;
  float *by_hidden, *turns, *pull;
  std::vector<int> path, slots;

  Paths(Row& row, Named& named, const float* hidden, float* by_hidden)
      : row(row), named(named), tree(named.tree), hidden(hidden), by_hidden(by_hidden), path(tree.all + tree.depth),
        slots(path.size()) {
    turns = row.scratch.zeros(path.size() + LANES);
    pull = row.scratch.zeros((path.size() + LANES) * round_up(row.near + 1));
  }

  // The loss of scores x that count `weight`, plus of them with code 0; its derivative.
  Vector turn(Vector x, Vector weight, Vector plus) {
    Vector curve, slope;
    logistic(x, curve, slope);
    row.loss += weight * curve - plus * x;
    return weight * slope - plus;
  }

  // The first nodes against `count` vectors, by the summed weights of the paths that turn there.
  void score_top(int count) {
    const Text& t = row.text;
    const int broad = round_up(tree.tops), padded = t.padded, both = 2 * broad;
    float *there = row.scratch.zeros(TALL * both), *band = row.scratch.take(TALL * row.span);
    float *weights = row.scratch.zeros(long(count) * both), *scores = row.scratch.take(long(count) * broad);
    for (int i = 0; i < t.length; i += TALL) {
      const int tall = std::min(TALL, t.length - i);
      for (int k = 0; k < tall; k++) {
        const int8_t* signs = tree.exit_signs + tree.exits[row.centres[i + k]] * long(tree.all);
        for (int n = 0; n < tree.tops; n++) {
          there[k * both + n] = signs[n] != 0;
          there[k * both + broad + n] = signs[n] > 0;
        }
      }
      row.band(i, tall, band);
      product(tall + row.near, both, tall, band, 1, row.span, there, both, weights + long(i) * both, both, true);
    }
    product(count, broad, t.dim, hidden, padded, 1, named.columns, broad, scores, broad, false);
    for (int i = 0; i < count; i++)
      for (int n = 0; n < broad; n += LANES) {
        float *x = scores + long(i) * broad + n, *weight = weights + long(i) * both + n;
        store(x, turn(load(x), load(weight), load(weight + broad)));
      }
    product(count, padded, tree.tops, scores, broad, 1, named.kept, padded, by_hidden, padded, false);
    product(tree.tops, padded, count, scores, 1, broad, hidden, padded, named.to, padded, true);
  }

  // The rest of every centre's path against the vectors that predict it, the first at its place: all neighbours, or one.
  void score_rest(const float* counted) {
    const Text& t = row.text;
    const int width = counted ? 1 : row.near + 1, broad = counted ? 1 : round_up(width), padded = t.padded;
    float *nodes = row.take(path.size()), *by_nodes = row.take(path.size()), *weights = row.scratch.zeros(round_up(width));
    float *const kept = named.kept, *const to = named.to;
    for (int i = 0, upper; i < t.length; i++) {
      named.prefetch(t, row.centres[std::min(i + 8, t.length - 1)], row.centres[std::min(i + 3, t.length - 1)]);
      const int count = tree.path(row.centres[i], path.data(), turns, upper), first = named.found;
      std::copy_n(path.data(), upper, slots.data());
      for (int q = upper; q < count; q++) {
        int& place = named.places[path[q]];
        if (place < 0) {
          named.ids[place = named.found++] = path[q];
          t.copy(t.outputs, &path[q], 0, 1, 0, kept + long(place) * padded);
        }
        slots[q] = place;
      }
      const float* from = hidden + long(i) * padded;
      float* by_from = by_hidden + long(i) * padded;
      if (counted) {
        dot_rows(kept, slots.data(), count, padded, from, pull);
        for (int q = 0; q < count; q += LANES) {
          Vector live{};
          for (int k = 0; k < std::min(LANES, count - q); k++) live[k] = counted[i];
          store(pull + q, turn(load(pull + q), live, live * load(turns + q)));
        }
        sum_rows<true>(kept, slots.data(), count, padded, pull, by_from);
        push_rows(to, slots.data(), count, padded, from, pull, first);
        continue;
      }
      for (int q = 0; q < count; q++) add_scaled(1, kept + long(slots[q]) * padded, false, nodes + long(q) * padded, padded);
      for (int j = 0; j < width; j++) weights[j] = row.weights[long(j) * t.length + i];
      dots(count, width, padded, nodes, padded, from, padded, pull, broad);
      for (int q = 0; q < count; q++)
        for (int n = 0; n < broad; n += LANES) {
          float* x = pull + q * broad + n;
          store(x, turn(load(x), load(weights + n), turns[q] * load(weights + n)));
        }
      product(width, padded, count, pull, 1, broad, nodes, padded, by_from, padded, true);
      product(count, padded, width, pull, broad, 1, from, padded, by_nodes, padded, false);
      for (int q = 0; q < count; q++)
        add_scaled(1, by_nodes + long(q) * padded, slots[q] < first, to + long(slots[q]) * padded, padded);
    }
  }
};

// The group of rows begin to end - 1 of the batch.
inline void path_rows(const Text& t, const Tree& tree, Scratch& shared, Scratch& scratch, int begin, int end) {
  const long size = tree.all + long(t.length) * tree.depth, first = begin * size, most = (end - begin) * size;
  shared.restart();
  Named named(t, tree, shared, tree.ids + first, static_cast<float*>(t.by_outputs) + first * t.padded, most);
  for (int r = begin; r < end; r++) {
    Row row(t, scratch, r);
    float* by_inputs = static_cast<float*>(t.by_inputs) + long(r) * t.wide * t.padded;
    if (t.cbow) {
      Means<float> means(row, by_inputs);
      means.average(0, t.length);
      Paths(row, named, means.hidden, means.by_hidden).score_rest(means.counted);
      means.spread(t.length);
      row.finish(r, total(means.counted, t.length));
      continue;
    }
    float* contexts = row.take(t.wide);
    t.copy(t.inputs, row.tokens, 0, t.wide, t.wide, contexts);
    Paths paths(row, named, contexts, by_inputs);
    paths.score_top(t.wide);
    paths.score_rest(nullptr);
    row.finish(r, total(row.size, t.length));
  }
  named.finish(most);
}

}  // namespace w2v
