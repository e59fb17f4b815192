// Negative sampling: the loss of a row and its gradients, by the formulas of w2v_jax/models/word2vec.py.
#pragma once

#include "rows.h"

namespace w2v {

struct Noise {
  const int* words;  // [R, N]
  int count, every, turn;
  float scale;  // k * every / N
  bool half;    // products of bfloat16
};

// The noise words of a row, shared by every `every`th centre from `turn` on.
struct Shared {
  Row& row;
  const Noise& noise;
  int most, broad;  // N, padded; D, padded
  float *words, *columns, *scores, *to;  // to: N rows of gradients
  int *half_words, *half_columns, *left, *right;
  // Centres whose slopes are in `scores` and not in `to` yet: reading and writing `to` for a few costs more than their products.
  int waiting = 0;
  const float* first_waiting = nullptr;
  bool begun = false;

  Shared(Row& row, const Noise& noise, int r, float* to)
      : row(row), noise(noise), most(round_up(noise.count)), broad(row.text.padded), to(to) {
    words = row.rows(row.text.outputs, noise.words + long(r) * noise.count, noise.count, most);
    const long block = row.block;
    scores = row.scratch.take(2 * block * most);
    if (!noise.half) {
      columns = row.scratch.take(long(row.text.dim) * most);
      transpose(words, broad, most, row.text.dim, columns, most);
      return;
    }
    half_words = ints(long(most) * broad / 2);
    half_columns = ints(long(most) * broad / 2);
    left = ints(std::max(std::max<long>(most, block) * broad / 2, block * most));
    right = ints(block * broad);
    pair_rows(words, broad, most, broad, half_words);
    pair_columns(words, broad, most, broad, left);
    transpose(left, broad / 2, most, broad / 2, half_columns, most);
  }

  int* ints(long count) { return reinterpret_cast<int*>(row.scratch.take(count)); }

  // The vectors `hidden` of the centres begin to end - 1, with weight factor[i]; adds their gradients to `by_hidden`.
  void score(const float* hidden, const float* factor, float* by_hidden, int begin, int end) {
    const int first = begin + ((noise.turn - begin) % noise.every + noise.every) % noise.every;
    const int count = (end - first + noise.every - 1) / noise.every;
    const long step = long(noise.every) * broad;
    if (count <= 0) return;
    hidden += long(first) * broad;
    by_hidden += long(first) * broad;
    if (!waiting) first_waiting = hidden;
    float* slopes = scores + long(waiting) * most;
    waiting += count;
    if (noise.half) {
      pair_columns(hidden, step, count, broad, left);
      product(count, most, broad / 2, left, broad / 2, 1, half_columns, most, slopes, most, false);
    } else {
      product(count, most, row.text.dim, hidden, step, 1, columns, most, slopes, most, false);
    }
    for (int i = 0; i < count; i++) {
      const float weight = noise.scale * factor[first + i * noise.every];
      for (int n = 0; n < most; n += LANES) {
        Vector curve, slope, live = Vector{} + weight;
        for (int k = noise.count - n; k < LANES; k++) live[k] = 0.f;
        logistic(load(slopes + long(i) * most + n), curve, slope);
        row.loss += live * curve;
        store(slopes + long(i) * most + n, live * slope);
      }
    }
    if (noise.half) {
      pair_columns(slopes, most, count, most, left);
      product(count, broad, most / 2, left, most / 2, 1, half_words, broad, by_hidden, step, true);
    } else {
      product(count, broad, noise.count, slopes, most, 1, words, broad, by_hidden, step, true);
    }
    if (waiting >= row.block) add_waiting();
  }

  // Adds the gradients of the noise words by the centres that wait.
  void add_waiting() {
    if (!waiting) return;
    const long step = long(noise.every) * broad;
    if (noise.half) {
      pair_rows(scores, most, waiting, most, left);
      pair_rows(first_waiting, step, waiting, broad, right);
      product(noise.count, broad, (waiting + 1) / 2, left, 1, most, right, broad, to, broad, begun);
    } else {
      product(noise.count, broad, waiting, scores, 1, most, first_waiting, step, to, broad, begun);
    }
    begun = true;
    waiting = 0;
  }
};

template <typename T>
void skipgram_noise(const Text& t, const Noise& noise, Scratch& scratch, int r) {
  Row row(t, scratch, r);
  const long hiddens = long(t.length) * t.padded, outputs = long(t.wide + noise.count) * t.padded;
  T *to_inputs = static_cast<T*>(t.by_inputs) + r * hiddens, *to_outputs = static_cast<T*>(t.by_outputs) + r * outputs;
  float *by_hidden = sums_of(scratch, to_inputs, hiddens), *by_contexts = sums_of(scratch, to_outputs, outputs);
  float *hidden = row.take(t.length), *contexts = row.take(t.wide);
  float *band = scratch.take(TALL * row.span), *pull = scratch.take(TALL * row.span);
  Shared shared(row, noise, r, by_contexts + long(t.wide) * t.padded);
  std::memset(by_contexts, 0, long(row.near) * t.padded * sizeof(float));
  for (int begin = 0, end, copied = 0; begin < t.length; begin = end) {
    end = std::min(begin + row.block, t.length);
    t.copy(t.inputs, row.centres, begin, end, t.length, hidden);
    t.copy(t.outputs, row.tokens, copied, end + row.near, t.wide, contexts);
    copied = end + row.near;
    for (int i = begin; i < end; i += TALL) {
      const int tall = std::min(TALL, end - i);
      const long at = long(i) * t.padded;
      for (int k = i + row.block; k < std::min(i + row.block + TALL, t.length); k++) {
        t.prefetch(t.inputs, row.centres[k]);
        t.prefetch(t.outputs, row.tokens[k + row.near]);
      }
      for (int k = i + TALL; k < std::min(i + 2 * TALL, t.length); k++) {
        t.expect(by_contexts + long(k + row.near) * t.padded);
        t.expect(by_hidden + long(k) * t.padded);
      }
      row.band(i, tall, band);
      std::memset(pull, 0, TALL * row.span * sizeof(float));
      for (int k = 0; k < tall; k += 2)
        dots(std::min(2, tall - k), row.near + std::min(2, tall - k), t.padded, hidden + at + k * t.padded, t.padded,
             contexts + at + k * t.padded, t.padded, pull + k * row.span + k, row.span);
      for (int n = 0; n < tall * row.span; n += LANES) {
        Vector curve, slope;
        logistic(-load(pull + n), curve, slope);
        row.loss += load(band + n) * curve;
        store(pull + n, -load(band + n) * slope);
      }
      product(tall, t.padded, tall + row.near, pull, row.span, 1, contexts + at, t.padded, by_hidden + at, t.padded,
              false);
      product(row.near, t.padded, tall, pull, 1, row.span, hidden + at, t.padded, by_contexts + at, t.padded, true);
      const long seen = at + long(row.near) * t.padded;  // no centre before these saw the tokens from here on
      product(tall, t.padded, tall, pull + row.near, 1, row.span, hidden + at, t.padded, by_contexts + seen, t.padded, false);
    }
    shared.score(hidden, row.size, by_hidden, begin, end);
  }
  shared.add_waiting();
  leave(by_hidden, to_inputs, hiddens);
  leave(by_contexts, to_outputs, outputs);
  row.finish(r, total(row.size, t.length));
}

template <typename T>
void cbow_noise(const Text& t, const Noise& noise, Scratch& scratch, int r) {
  Row row(t, scratch, r);
  Means<T> means(row, static_cast<T*>(t.by_inputs) + long(r) * t.wide * t.padded);
  T* by_words = static_cast<T*>(t.by_outputs) + long(r) * (t.length + noise.count) * t.padded;
  T* to_noise = by_words + long(t.length) * t.padded;
  float* by_noise = sums_of(scratch, to_noise, long(noise.count) * t.padded);
  float *words = row.take(t.length), *pull = scratch.zeros(t.length + LANES);
  Shared shared(row, noise, r, by_noise);
  for (int begin = 0, end; begin < t.length; begin = end) {
    end = std::min(begin + row.block, t.length);
    means.average(begin, end);
    t.copy(t.outputs, row.centres, begin, end, t.length, words);
    for (int i = begin; i < end; i++) {
      if (i + row.block < t.length) {
        t.prefetch(t.outputs, row.centres[i + row.block]);
        t.prefetch(t.inputs, row.tokens[i + row.block + row.near]);
      }
      t.expect(by_words + long(i) * t.padded);
      pull[i] = -dot(means.hidden + long(i) * t.padded, words + long(i) * t.padded, t.padded);
    }
    for (int i = begin; i < end; i += LANES) {
      Vector curve, slope, live = load(means.counted + i);
      for (int k = end - i; k < LANES; k++) live[k] = 0.f;
      logistic(load(pull + i), curve, slope);
      row.loss += live * curve;
      store(pull + i, -live * slope);
    }
    for (int i = begin; i < end; i++)
      for (long d = long(i) * t.padded; d < long(i + 1) * t.padded; d += LANES) {
        store(means.by_hidden + d, pull[i] * load(words + d));
        store(by_words + d, pull[i] * load(means.hidden + d));
      }
    shared.score(means.hidden, means.counted, means.by_hidden, begin, end);
    means.spread(end);
  }
  shared.add_waiting();
  leave(by_noise, to_noise, long(noise.count) * t.padded);
  row.finish(r, total(means.counted, t.length));
}

}  // namespace w2v
