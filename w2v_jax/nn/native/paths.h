// Hierarchical softmax: the loss of a row and its gradients.
#pragma once

#include "rows.h"

namespace w2v {

// Paths of the Huffman tree as `split_paths` of w2v_jax/models/huffman.py cuts them, and the numbers 0 to T - 1.
struct Tree {
  const int *exits, *nodes, *top;
  const int8_t *exit_signs, *signs;
  int tops, depth, absent;  // T, Q, an id beyond the table
  int* ids;                 // [R, T + L Q] the nodes that a row names, each before its gradient; then `absent`
};

// The T most used nodes against every hidden vector, by the summed weights of the paths that turn there.
inline void score_top(Row& row, const Tree& tree, const float* hidden, int count, const float* counted, float* by_hidden,
               float* to) {
  const Text& t = row.text;
  const int broad = round_up(tree.tops), padded = t.padded;
  const float* top = row.gather(t.outputs, tree.top, tree.tops, broad);
  float *there = row.scratch.zeros(long(tree.tops + 1) * 2 * broad), *by_top = row.scratch.take(long(broad) * padded);
  for (int e = 0; e <= tree.tops; e++)
    for (int n = 0; n < tree.tops; n++) {
      const int8_t sign = tree.exit_signs[e * tree.tops + n];
      there[2 * e * broad + n] = sign != 0;
      there[(2 * e + 1) * broad + n] = sign > 0;
    }
  float* weights = row.scratch.zeros(long(count) * 2 * broad);
  for (int i = 0; i < t.length; i++)
    for (int j = 0; j < (counted ? 1 : 2 * t.window + 1); j++) {
      const float weight = counted ? counted[i] : row.weights[long(j) * t.length + i];
      const float* from = there + 2l * tree.exits[row.centres[i]] * broad;
      float* out = weights + long(i + j) * 2 * broad;
      for (int n = 0; n < 2 * broad; n += LANES) store(out + n, load(out + n) + weight * load(from + n));
    }
  float* scores = row.scratch.take(long(count) * broad);
  product(count, broad, t.dim, hidden, padded, 1, row.turned(top, broad), broad, scores, broad, false);
  for (int i = 0; i < count; i++)
    for (int n = 0; n < broad; n += LANES) {
      const Vector x = load(scores + long(i) * broad + n), all = load(weights + 2l * i * broad + n);
      const Vector plus = load(weights + (2l * i + 1) * broad + n);
      Vector curve, slope;
      logistic(x, curve, slope);
      row.loss += all * curve - plus * x;
      store(scores + long(i) * broad + n, all * slope - plus);
    }
  product(count, padded, tree.tops, scores, broad, 1, top, padded, by_hidden, padded, true);
  product(tree.tops, padded, count, scores, 1, broad, hidden, padded, by_top, padded, false);
  row.scatter(by_top, tree.tops, to);
}

// The rest of every centre's path, up to Q nodes, against the `width` vectors that predict it, the first at its place.
inline void score_rest(Row& row, const Tree& tree, const float* hidden, int most, const float* counted, float* by_hidden,
                float* to, int* ids) {
  const Text& t = row.text;
  int* const end = ids + long(t.length) * tree.depth;
  const int width = counted ? 1 : 2 * t.window + 1, near = round_up(width), padded = t.padded;
  const float* columns = counted ? nullptr : row.turned(hidden, most);
  float *nodes = row.scratch.take(long(tree.depth) * padded), *by_nodes = row.scratch.take(long(tree.depth) * padded);
  const int most_nodes = round_up(tree.depth);
  float *pull = row.scratch.zeros(long(most_nodes) * near), *weights = row.scratch.zeros(std::max(near, most_nodes));
  float* plus = row.scratch.zeros(most_nodes);
  for (int i = 0; i < t.length; i++) {
    const int8_t* signs = tree.signs + long(row.centres[i]) * tree.depth;
    const long at = long(i) * padded;
    int count = 0;
    while (count < tree.depth && signs[count]) count++;
    const int* path = tree.nodes + long(row.centres[i]) * tree.depth;
    row.copy(t.outputs, path, count, nodes);
    if (i + 2 < t.length)
      for (int q = 0; q < tree.depth && tree.signs[long(row.centres[i + 2]) * tree.depth + q]; q++)
        for (int d = 0; d < t.dim; d += LANES)
          __builtin_prefetch(t.outputs + long(tree.nodes[long(row.centres[i + 2]) * tree.depth + q]) * t.dim + d);
    const auto score = [&](float* scores, int wide, auto turn) {  // turn(n): 1 for code 0, of LANES scores from n on
      for (int n = 0; n < wide; n += LANES) {
        const Vector x = load(scores + n), weight = load(weights + n);
        Vector curve, slope;
        logistic(x, curve, slope);
        row.loss += weight * (curve - turn(n) * x);
        store(scores + n, weight * (slope - turn(n)));
      }
    };
    if (counted) {  // the scores of all nodes are one line, otherwise those of each node
      for (int q = 0; q < most_nodes; q++) {
        pull[q] = q < count ? dot(nodes + long(q) * padded, hidden + at, padded) : 0.f;
        weights[q] = q < count ? counted[i] : 0.f;
        plus[q] = q < count && signs[q] > 0;
      }
      score(pull, round_up(count), [&](int n) { return load(plus + n); });
    } else {
      for (int j = 0; j < width; j++) weights[j] = row.weights[long(j) * t.length + i];
      product(count, near, t.dim, nodes, padded, 1, columns + i, most, pull, near, false);
      for (int q = 0; q < count; q++)
        score(pull + q * near, near, [&](int) { return Vector{} + float(signs[q] > 0); });
    }
    const long step = counted ? 1 : near;
    product(width, padded, count, pull, 1, step, nodes, padded, by_hidden + at, padded, true);
    product(count, padded, width, pull, step, 1, hidden + at, padded, by_nodes, padded, false);
    row.scatter(by_nodes, count, to);
    to += long(count) * t.dim;
    ids = std::copy_n(path, count, ids);
  }
  std::fill(ids, end, tree.absent);
}

inline void path_row(const Text& t, const Tree& tree, Scratch& scratch, int r) {
  Row row(t, scratch, r);
  const int most = round_up(t.length + row.span);
  const float* contexts = row.gather(t.inputs, row.tokens, t.wide, most);
  const long first = r * (tree.tops + long(t.length) * tree.depth);
  float* to = t.by_outputs + first * t.dim;
  int* ids = std::copy_n(tree.top, tree.tops, tree.ids + first);
  float* by_inputs = t.by_inputs + long(r) * t.wide * t.dim;
  const auto both = [&](const float* hidden, int count, const float* counted, float* by_hidden) {
    score_top(row, tree, hidden, count, counted, by_hidden, to);
    score_rest(row, tree, hidden, most, counted, by_hidden, to + long(tree.tops) * t.dim, ids);
  };
  if (t.cbow) {
    Means means(row, contexts);
    both(means.hidden, t.length, means.counted, means.by_hidden);
    spread_means(row, means.by_hidden, means.share, by_inputs);
    return row.finish(r, total(means.counted, t.length));
  }
  float* by_contexts = scratch.zeros(long(t.wide) * t.padded);
  both(contexts, t.wide, nullptr, by_contexts);
  row.scatter(by_contexts, t.wide, by_inputs);
  row.finish(r, total(row.size, t.length));
}

}  // namespace w2v
