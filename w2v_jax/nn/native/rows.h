// One row of a batch of word2vec, while a thread works on it. Rows of D numbers are kept padded with zeros to a multiple
// of LANES.
#pragma once

#include "tiles.h"

namespace w2v {

enum Draw { SAMPLED, EXPECTED, FULL };

// A batch of `rows` rows of `length` centres with `window` more tokens on both sides; `wide` tokens in all.
struct Text {
  const float *inputs, *outputs;  // tables [V', D]
  const int *tokens, *doc, *reach;
  float *by_inputs, *by_outputs, *stats;  // gradients of the rows that the batch names; (loss, count) of every row
  int rows, length, wide, window, dim, padded, draw;
  bool cbow, whole;  // whole: every word of CBOW's window gets the whole gradient of the average
};

// One row while a thread works on it.
struct Row {
  const Text& text;
  Scratch& scratch;
  const int *tokens, *centres;
  int span;        // tokens that TALL centres see, padded
  float* weights;  // [2W + 1, L] of the pairs
  float* size;     // [L] their sum
  Vector loss{};

  Row(const Text& t, Scratch& s, int row) : text(t), scratch(s) {
    s.restart();
    const int width = 2 * t.window + 1, *doc = t.doc + long(row) * t.wide, *reach = t.reach + long(row) * t.length;
    tokens = t.tokens + long(row) * t.wide;
    centres = tokens + t.window;
    span = round_up(TALL + width - 1);
    weights = s.take(long(width) * t.length);
    size = s.zeros(t.length);
    for (int j = 0; j < width; j++) {
      const int gap = std::abs(j - t.window), *other = doc + j, *own = doc + t.window;
      const float weight = t.draw == EXPECTED ? 1.f - float(gap - 1) / float(t.window) : 1.f;
      float* out = weights + long(j) * t.length;
      for (int i = 0; i < t.length; i++) {
        const bool pair = gap > 0 && own[i] >= 0 && other[i] == own[i] && (t.draw != SAMPLED || reach[i] >= gap);
        out[i] = pair ? weight : 0.f;
        size[i] += out[i];
      }
    }
  }

  // `count` rows of a table and zeros up to `most` rows.
  float* gather(const float* table, const int* ids, int count, int most) {
    float* out = scratch.take(long(most) * text.padded);
    copy(table, ids, count, out);
    std::memset(out + long(count) * text.padded, 0, long(most - count) * text.padded * sizeof(float));
    return out;
  }

  void copy(const float* table, const int* ids, int count, float* out) {
    for (int i = 0; i < count; i++, out += text.padded) {
      for (int d = 0; i + 4 < count && d < text.dim; d += LANES)
        __builtin_prefetch(table + long(ids[i + 4]) * text.dim + d);
      std::memcpy(out, table + long(ids[i]) * text.dim, text.dim * sizeof(float));
      std::memset(out + text.dim, 0, (text.padded - text.dim) * sizeof(float));
    }
  }

  float* turned(const float* rows, int count) {
    float* out = scratch.take(long(text.dim) * count);
    transpose(rows, text.padded, count, text.dim, out, count);
    return out;
  }

  void scatter(const float* rows, int count, float* to) {
    for (int i = 0; i < count; i++) std::memcpy(to + long(i) * text.dim, rows + long(i) * text.padded, text.dim * 4);
  }

  // [TALL, span] weights of the pairs of `tall` centres from `first` on, times factor[i].
  void band(int first, int tall, const float* factor, float* out) {
    std::memset(out, 0, TALL * span * sizeof(float));
    for (int i = 0; i < tall; i++)
      for (int j = 0; j <= 2 * text.window; j++)
        out[i * span + i + j] = weights[long(j) * text.length + first + i] * (factor ? factor[first + i] : 1.f);
  }

  void finish(int row, float count) {
    text.stats[2 * row] = sum(loss);
    text.stats[2 * row + 1] = count;
  }
};

// The means of the windows of CBOW, or their sums: [L, D].
inline float* window_means(Row& row, const float* contexts, const float* share) {
  const Text& t = row.text;
  float *hidden = row.scratch.take(long(t.length) * t.padded), *band = row.scratch.take(TALL * row.span);
  for (int i = 0; i < t.length; i += TALL) {
    const int tall = std::min(TALL, t.length - i);
    row.band(i, tall, share, band);
    product(tall, t.padded, tall + 2 * t.window, band, row.span, 1, contexts + long(i) * t.padded, t.padded,
            hidden + long(i) * t.padded, t.padded, false);
  }
  return hidden;
}

// The transpose of it, [L + 2W, D], written to `to`.
inline void spread_means(Row& row, const float* by_hidden, const float* share, float* to) {
  const Text& t = row.text;
  float *out = row.scratch.zeros(long(t.wide) * t.padded), *band = row.scratch.take(TALL * row.span);
  for (int i = 0; i < t.length; i += TALL) {
    const int tall = std::min(TALL, t.length - i);
    row.band(i, tall, t.whole ? nullptr : share, band);
    product(tall + 2 * t.window, t.padded, tall, band, 1, row.span, by_hidden + long(i) * t.padded, t.padded,
            out + long(i) * t.padded, t.padded, true);
  }
  row.scatter(out, t.wide, to);
}

// What both losses of CBOW begin with: the means, their shares, and which centres have a neighbour.
struct Means {
  float *share, *counted, *hidden, *by_hidden;

  Means(Row& row, const float* contexts) {
    const Text& t = row.text;
    share = row.scratch.take(t.length);
    counted = row.scratch.take(t.length);
    for (int i = 0; i < t.length; i++) {
      counted[i] = row.size[i] > 0 ? 1.f : 0.f;
      share[i] = 1.f / std::max(row.size[i], 1.f);
    }
    hidden = window_means(row, contexts, share);
    by_hidden = row.scratch.zeros(long(t.length) * t.padded);
  }
};

inline float total(const float* x, int count) {
  float out = 0;
  for (int i = 0; i < count; i++) out += x[i];
  return out;
}

}  // namespace w2v
