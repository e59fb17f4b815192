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
    top_turn.resize(top_turn.size() + LANES);  // whole vectors are read
  }
};

// A word's path from `tops` on: `upper` nodes below T, and then `rest` others.
struct Path {
  const int *top, *below;
  const float* top_turn;
  const int8_t* signs;
  int upper, rest;

  Path(const Tree& tree, int word) {
    below = tree.nodes + long(word) * tree.depth;
    signs = tree.signs + long(word) * tree.depth;
    const int exit = tree.exits[word], first = tree.begin[exit];
    top = tree.top.data() + first;
    top_turn = tree.top_turn.data() + first;
    upper = tree.begin[exit + 1] - first;
    const void* end = std::memchr(signs, 0, tree.depth);
    rest = end ? static_cast<const int8_t*>(end) - signs : tree.depth;
  }
};

// The nodes that a group of rows shares. Each has one place for the gradients that it collects.
struct Named {
  const Tree& tree;
  float* kept;        // the first T rows of C, padded with zeros
  const float* rows;  // all rows of C, `stride` numbers apart, padded with whatever follows
  long stride;
  float* to;       // gradients, by place
  float* columns;  // [D, broad] the first `tops` rows of C, and zeros
  int* ids;        // the node of each place
  int* places;     // the place of each node; -1 where it has none, and between calls
  int found;       // places that are taken

  Named(const Text& t, const Tree& tree, Scratch& scratch, int* ids, float* to)
      : tree(tree), rows(t.outputs), stride(t.dim), to(to), ids(ids), found(tree.all) {
    const int broad = round_up(tree.tops);
    static thread_local std::vector<int> kept_places;
    if (int(kept_places.size()) < tree.absent) kept_places.assign(tree.absent, -1);
    places = kept_places.data();
    std::iota(ids, ids + found, 0);
    kept = scratch.take(long(std::max(tree.all, broad)) * t.padded);
    t.copy(t.outputs, ids, 0, tree.all, tree.all, kept);
    if (broad > tree.all) std::memset(kept + long(tree.all) * t.padded, 0, long(broad - tree.all) * t.padded * sizeof(float));
    columns = scratch.take(long(t.dim) * broad);
    transpose(kept, t.padded, broad, t.dim, columns, broad);
    std::memset(to, 0, long(tree.all) * t.padded * sizeof(float));
    // Only CBOW reads `rows`. The table goes on for `padded` numbers from a node on, as its last row is no node.
    if (!t.cbow || 2 * t.dim >= t.padded) return;
    float* all = scratch.zeros(long(tree.absent) * t.padded);
    for (long n = 0; n < tree.absent; n++) std::copy_n(t.outputs + n * t.dim, t.dim, all + n * t.padded);
    rows = all;
    stride = t.padded;
  }

  // On their way to the caches: the path of the centre `later`, and for the nearer centre `next` the nodes of its path,
  // from C, and from `to` where they have a place.
  void prefetch(const Text& t, int later, int next) const {
    __builtin_prefetch(tree.exits + later);
    __builtin_prefetch(tree.signs + long(later) * tree.depth);
    __builtin_prefetch(tree.nodes + long(later) * tree.depth);
    for (long q = long(next) * tree.depth, end = q + tree.depth; q < end && tree.signs[q]; q++) {
      t.prefetch(t.outputs, tree.nodes[q]);
      if (const int place = places[tree.nodes[q]]; place >= 0) t.expect(to + long(place) * t.padded);
    }
  }

  // The places of `count` nodes.
  void place(const int* nodes, int count, int* out) {
    for (int q = 0; q < count; q++) {  // without branches, which would be guessed wrong
      const int node = nodes[q], at = places[node], place = at < 0 ? found : at;
      found += at < 0;
      out[q] = places[node] = place;
      ids[place] = node;
    }
  }

  void finish(long most) {
    for (int i = tree.all; i < found; i++) places[ids[i]] = -1;
    std::fill(ids + found, ids + most, tree.absent);
  }
};

// N vectors of the rows that `list` names, which lie `row` numbers apart: their dot products with `from`, added if
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
inline void dot_rows(const float* rows, const int* list, int count, long row, int width, const float* from,
                     float* out) {
  static constexpr decltype(&dot_chunk<1>) chunks[] = {dot_chunk<1>, dot_chunk<2>, dot_chunk<3>, dot_chunk<4>,
                                                       dot_chunk<5>, dot_chunk<6>, dot_chunk<7>, dot_chunk<8>};
  for (int d = 0; d < width; d += 8 * LANES)
    chunks[std::min(8, (width - d) / LANES) - 1](rows + d, list, count, row, from + d, out, d);
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
  std::vector<int> slots;  // of the rest of a path

  Paths(Row& row, Named& named, const float* hidden, float* by_hidden)
      : row(row), named(named), tree(named.tree), hidden(hidden), by_hidden(by_hidden), slots(tree.depth) {
    const int most = tree.all + tree.depth + LANES;
    turns = row.scratch.zeros(most);
    pull = row.scratch.zeros(long(most) * round_up(row.near + 1));
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

  // Nodes against one vector. Their rows of C are `list` of `rows`, `stride` numbers apart, their places `to`.
  void score_one(const float* rows, long stride, const int* list, const int* to, int count, const float* turned,
                 const float* from, float* by_from, bool add, int first) {
    const int padded = row.text.padded;
    dot_rows(rows, list, count, stride, padded, from, pull);
    for (int q = 0; q < count; q += LANES) {
      Vector live{};
      for (int k = 0; k < std::min(LANES, count - q); k++) live[k] = 1.f;
      store(pull + q, turn(load(pull + q), live, live * load(turned + q)));
    }
    sum_rows<true>(rows, list, count, stride, padded, pull, by_from, add);
    push_rows(named.to, to, count, padded, from, pull, first);
  }

  // Nodes against the vectors of all neighbours, with their weights.
  void score_many(const Path& path, const float* weights, float* nodes, float* by_nodes, const float* from,
                  float* by_from, int first) {
    const Text& t = row.text;
    const int width = row.near + 1, broad = round_up(width), padded = t.padded, count = path.upper + path.rest;
    std::copy_n(path.top_turn, path.upper, turns);
    t.copy(t.outputs, path.below, 0, path.rest, path.rest, nodes + long(path.upper) * padded);
    for (int q = 0; q < path.upper; q++)
      std::memcpy(nodes + long(q) * padded, named.kept + long(path.top[q]) * padded, padded * sizeof(float));
    dots(count, width, padded, nodes, padded, from, padded, pull, broad);
    for (int q = 0; q < count; q++)
      for (int n = 0; n < broad; n += LANES) {
        float* x = pull + q * broad + n;
        store(x, turn(load(x), load(weights + n), turns[q] * load(weights + n)));
      }
    product(width, padded, count, pull, 1, broad, nodes, padded, by_from, padded, true);
    product(count, padded, width, pull, broad, 1, from, padded, by_nodes, padded, false);
    for (int q = 0; q < count; q++) {
      const int place = q < path.upper ? path.top[q] : slots[q - path.upper];
      add_scaled(1, by_nodes + long(q) * padded, place < first, named.to + long(place) * padded, padded);
    }
  }

  // The rest of every centre's path against the vectors that predict it, the first at its place: all neighbours, or
  // `one`.
  void score_rest(bool one) {
    const Text& t = row.text;
    const int most = one ? 0 : tree.all + tree.depth, ahead = t.length - 1;
    float *nodes = row.take(most), *by_nodes = row.take(most), *weights = row.scratch.zeros(round_up(row.near + 1));
    for (int i = 0; i < t.length; i++) {
      named.prefetch(t, row.centres[std::min(i + 8, ahead)], row.centres[std::min(i + 3, ahead)]);
      if (row.size[i] <= 0) {
        if (one) std::memset(by_hidden + long(i) * t.padded, 0, t.padded * sizeof(float));
        continue;
      }
      const Path path(tree, row.centres[i]);
      const int first = named.found;
      const float* from = hidden + long(i) * t.padded;
      float* by_from = by_hidden + long(i) * t.padded;
      named.place(path.below, path.rest, slots.data());
      for (int q = 0; q < path.rest; q++) turns[(one ? 0 : path.upper) + q] = path.signs[q] > 0;
      if (one) {
        score_one(named.kept, t.padded, path.top, path.top, path.upper, path.top_turn, from, by_from, false, first);
        score_one(named.rows, named.stride, path.below, slots.data(), path.rest, turns, from, by_from, true, first);
      } else {
        for (int j = 0; j <= row.near; j++) weights[j] = row.weights[long(j) * t.length + i];
        score_many(path, weights, nodes, by_nodes, from, by_from, first);
      }
    }
  }
};

// The group of rows begin to end - 1 of the batch.
inline void path_rows(const Text& t, const Tree& tree, Scratch& shared, Scratch& scratch, int begin, int end) {
  const long size = tree.all + long(t.length) * tree.depth, first = begin * size, most = (end - begin) * size;
  shared.restart();
  Named named(t, tree, shared, tree.ids + first, static_cast<float*>(t.by_outputs) + first * t.padded);
  for (int r = begin; r < end; r++) {
    Row row(t, scratch, r);
    float* by_inputs = static_cast<float*>(t.by_inputs) + long(r) * t.wide * t.padded;
    if (t.cbow) {
      Means<float> means(row, by_inputs);
      means.average(0, t.length);
      Paths(row, named, means.hidden, means.by_hidden).score_rest(true);
      means.spread(t.length);
      row.finish(r, total(means.counted, t.length));
      continue;
    }
    float* contexts = row.take(t.wide);
    t.copy(t.inputs, row.tokens, 0, t.wide, t.wide, contexts);
    Paths paths(row, named, contexts, by_inputs);
    paths.score_top(t.wide);
    paths.score_rest(false);
    row.finish(r, total(row.size, t.length));
  }
  named.finish(most);
}

}  // namespace w2v
