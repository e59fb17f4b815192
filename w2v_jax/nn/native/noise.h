// Negative sampling: the loss of a row and its gradients, by the formulas of w2v_jax/models/word2vec.py.
#pragma once

#include "rows.h"

namespace w2v {

struct Noise {
  const int* words;  // [R, N]
  int count, every, turn;
  float scale;  // k * every / N
};

// Noise words `noise` [N], shared by every `every`th centre from `turn` on, with weight factor[i]; N rows of gradients
// are returned, and those of the centres are added to `by_hidden`.
inline float* score_noise(Row& row, const float* hidden, const float* factor, float* by_hidden, const int* noise, int count,
                   int every, int turn, float scale) {
  const int most = round_up(count), padded = row.text.padded, dim = row.text.dim, length = row.text.length / every;
  const long step = long(every) * padded;
  const float* words = row.gather(row.text.outputs, noise, count, most);
  float* scores = row.scratch.take(long(length) * most);
  float* by_words = row.scratch.take(long(count) * padded);
  hidden += long(turn) * padded;
  product(length, most, dim, hidden, step, 1, row.turned(words, most), most, scores, most, false);
  for (int i = 0; i < length; i++) {
    const float weight = scale * factor[turn + i * every];
    for (int n = 0; n < most; n += LANES) {
      Vector curve, slope, live = Vector{} + weight;
      for (int k = count - n; k < LANES; k++) live[k] = 0.f;
      logistic(load(scores + long(i) * most + n), curve, slope);
      row.loss += live * curve;
      store(scores + long(i) * most + n, live * slope);
    }
  }
  product(length, padded, count, scores, most, 1, words, padded, by_hidden + long(turn) * padded, step, true);
  product(count, padded, length, scores, 1, most, hidden, step, by_words, padded, false);
  return by_words;
}

inline void skipgram_noise(const Text& t, const Noise& noise, Scratch& scratch, int r) {
  Row row(t, scratch, r);
  const int most = round_up(t.length + row.span), near = 2 * t.window;
  const float* hidden = row.gather(t.inputs, row.centres, t.length, t.length);
  const float* contexts = row.gather(t.outputs, row.tokens, t.wide, most);
  const float* columns = row.turned(contexts, most);
  float* by_hidden = scratch.zeros(long(t.length) * t.padded);
  float* by_contexts = scratch.zeros(long(t.wide) * t.padded);
  float *band = scratch.take(TALL * row.span), *pull = scratch.take(TALL * row.span);
  for (int i = 0; i < t.length; i += TALL) {
    const int tall = std::min(TALL, t.length - i);
    const long at = long(i) * t.padded;
    row.band(i, tall, nullptr, band);
    product(tall, row.span, t.dim, hidden + at, t.padded, 1, columns + i, most, pull, row.span, false);
    for (int n = 0; n < tall * row.span; n += LANES) {
      Vector curve, slope;
      logistic(-load(pull + n), curve, slope);
      row.loss += load(band + n) * curve;
      store(pull + n, -load(band + n) * slope);
    }
    product(tall, t.padded, tall + near, pull, row.span, 1, contexts + at, t.padded, by_hidden + at, t.padded, true);
    product(tall + near, t.padded, tall, pull, 1, row.span, hidden + at, t.padded, by_contexts + at, t.padded, true);
  }
  const float* by_noise = score_noise(row, hidden, row.size, by_hidden, noise.words + long(r) * noise.count,
                                      noise.count, noise.every, noise.turn, noise.scale);
  float* to = t.by_outputs + long(r) * (t.wide + noise.count) * t.dim;
  row.scatter(by_hidden, t.length, t.by_inputs + long(r) * t.length * t.dim);
  row.scatter(by_contexts, t.wide, to);
  row.scatter(by_noise, noise.count, to + long(t.wide) * t.dim);
  row.finish(r, total(row.size, t.length));
}

inline void cbow_noise(const Text& t, const Noise& noise, Scratch& scratch, int r) {
  Row row(t, scratch, r);
  Means means(row, row.gather(t.inputs, row.tokens, t.wide, t.wide));
  const float* words = row.gather(t.outputs, row.centres, t.length, t.length);
  float* to = t.by_outputs + long(r) * (t.length + noise.count) * t.dim;
  float* by_words = scratch.take(long(t.length) * t.padded);
  for (int i = 0; i < t.length; i++) {
    const long at = long(i) * t.padded;
    Vector curve, slope;
    logistic(Vector{} - dot(means.hidden + at, words + at, t.padded), curve, slope);
    row.loss[0] += means.counted[i] * curve[0];
    const float pull = -means.counted[i] * slope[0];
    for (int d = 0; d < t.padded; d += LANES) {
      store(means.by_hidden + at + d, pull * load(words + at + d));
      store(by_words + at + d, pull * load(means.hidden + at + d));
    }
  }
  const float* by_noise = score_noise(row, means.hidden, means.counted, means.by_hidden,
                                      noise.words + long(r) * noise.count, noise.count, noise.every, noise.turn,
                                      noise.scale);
  row.scatter(by_words, t.length, to);
  row.scatter(by_noise, noise.count, to + long(t.length) * t.dim);
  spread_means(row, means.by_hidden, means.share, t.by_inputs + long(r) * t.wide * t.dim);
  row.finish(r, total(means.counted, t.length));
}

}  // namespace w2v
