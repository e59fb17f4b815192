// One row of a batch of word2vec, while a thread works on it. Rows of D numbers are kept padded with zeros to a multiple
// of LANES. Gradients are as wide; what follows their D numbers is not read by anybody.
#pragma once

#include "tiles.h"

namespace w2v {

enum Draw { SAMPLED, EXPECTED, FULL };

// A batch of `rows` rows of `length` centres with `window` more tokens on both sides; `wide` tokens in all.
struct Text {
  const float *inputs, *outputs;  // tables [V', D]
  const int *tokens, *doc, *reach;
  void *by_inputs, *by_outputs;  // gradients of the rows that the batch names, float or Half
  float* stats;                  // (loss, count) of every row
  int rows, length, wide, window, dim, padded, draw;
  bool cbow, whole;  // whole: every word of CBOW's window gets the whole gradient of the average

  // Of the row that a thread comes to later: its numbers are on their way when they are read.
  void prefetch(const float* table, int id) const {
    for (int d = 0; d < dim; d += 16) __builtin_prefetch(table + long(id) * dim + d);
  }

  // Of a row of gradients that is written later: stores leave in their order, and each would wait for its line.
  template <typename T>
  void expect(const T* row) const {
    for (int d = 0; d < padded; d += 64 / sizeof(T)) __builtin_prefetch(row + d, 1);
  }

  // Rows begin to end - 1 of the `known` ones that `ids` name, to their places in `out`.
  void copy(const float* table, const int* ids, int begin, int end, int known, float* out) const {
    for (int i = begin; i < end; i++) {
      if (i + 4 < known) prefetch(table, ids[i + 4]);
      std::memcpy(out + long(i) * padded, table + long(ids[i]) * dim, dim * sizeof(float));
      std::memset(out + long(i) * padded + dim, 0, (padded - dim) * sizeof(float));
    }
  }
};

struct Row {
  const Text& text;
  Scratch& scratch;
  const int *tokens, *centres;
  int near, span;  // neighbours of a centre; tokens that TALL centres see, padded
  int block;       // centres that are worked on together: their rows stay in the cache of a core
  float* weights;  // [2W + 1, L] of the pairs
  float* size;     // [L] their sum
  Vector loss{};

  Row(const Text& t, Scratch& s, int row) : text(t), scratch(s) {
    s.restart();
    const int width = 2 * t.window + 1, *doc = t.doc + long(row) * t.wide, *reach = t.reach + long(row) * t.length;
    tokens = t.tokens + long(row) * t.wide;
    centres = tokens + t.window;
    near = width - 1;
    span = round_up(TALL + near);
    block = t.padded > 128 ? 4 * TALL : 8 * TALL;
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

  float* take(int count) { return scratch.take(long(count) * text.padded); }
  float* zeros(int count) { return scratch.zeros(long(count) * text.padded); }

  // [most, D] the `count` rows that `ids` name, and zeros.
  float* rows(const float* table, const int* ids, int count, int most) {
    float* out = take(most);
    text.copy(table, ids, 0, count, count, out);
    std::memset(out + long(count) * text.padded, 0, long(most - count) * text.padded * sizeof(float));
    return out;
  }

  // [TALL, span] weights of the pairs of `tall` centres from `first` on.
  void band(int first, int tall, float* out) {
    std::memset(out, 0, TALL * span * sizeof(float));
    for (int i = 0; i < tall; i++)
      for (int j = 0; j <= near; j++) out[i * span + i + j] = weights[long(j) * text.length + first + i];
  }

  void finish(int row, float count) {
    text.stats[2 * row] = sum(loss);
    text.stats[2 * row + 1] = count;
  }
};

inline float total(const float* x, int count) {
  float out = 0;
  for (int i = 0; i < count; i++) out += x[i];
  return out;
}

// to = by * from, added if asked.
inline void add_scaled(float by, const float* from, bool add, float* to, int count) {
  for (int d = 0; d < count; d += LANES) store(to + d, add ? load(to + d) + by * load(from + d) : by * load(from + d));
}

// The sum of `width` numbers of `count` rows of `from`, which lie `row` numbers apart: those at the places `list`, each
// times its own number of `by`, and added to `out` if asked; or all times the first, and never added.
template <bool EACH, int N, typename T>
void sum_chunk(const float* from, const int* list, int count, long row, const float* by, T* out, bool add) {
  Vector total[N];
#pragma GCC unroll 8
  for (int n = 0; n < N; n++) total[n] = add ? load(out + n * LANES) : Vector{};
  for (int k = 0; k < count; k++)
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) total[n] += (EACH ? by[k] : 1.f) * load(from + list[k] * row + n * LANES);
#pragma GCC unroll 8
  for (int n = 0; n < N; n++) store(out + n * LANES, EACH ? total[n] : *by * total[n]);
}
template <bool EACH = false, typename T>
void sum_rows(const float* from, const int* list, int count, long row, int width, const float* by, T* out,
              bool add = false) {
  static constexpr decltype(&sum_chunk<EACH, 1, T>) chunks[] = {
      sum_chunk<EACH, 1, T>, sum_chunk<EACH, 2, T>, sum_chunk<EACH, 3, T>, sum_chunk<EACH, 4, T>,
      sum_chunk<EACH, 5, T>, sum_chunk<EACH, 6, T>, sum_chunk<EACH, 7, T>, sum_chunk<EACH, 8, T>};
  for (int d = 0; d < width; d += 8 * LANES)
    chunks[std::min(8, (width - d) / LANES) - 1](from + d, list, count, row, by, out + d, add);
}

// Where `count` gradients are summed before they leave for `to`: there, or in the memory of the thread, to be rounded once.
inline float* sums_of(Scratch&, float* to, long) { return to; }
inline float* sums_of(Scratch& scratch, Half*, long count) { return scratch.take(count); }
inline void leave(const float*, float*, long) {}
inline void leave(const float* sums, Half* to, long count) {
  for (long d = 0; d < count; d += LANES) store(to + d, load(sums + d));
}

// What both losses of CBOW begin and end with: the means of the windows, or their sums, and what they pass on. All pairs
// have weight 1.
template <typename T>
struct Means {
  Row& row;
  T* to;
  float *share, *counted, *hidden, *by_hidden, *contexts;  // counted: 1 where a centre has a neighbour
  std::vector<int> list;
  int copied = 0, passed = 0;

  Means(Row& row, T* to) : row(row), to(to), list(2 * row.near + 2) {
    const Text& t = row.text;
    share = row.scratch.take(t.length);
    counted = row.scratch.take(t.length + LANES);  // whole vectors are read
    for (int i = 0; i < t.length; i++) {
      counted[i] = row.size[i] > 0 ? 1.f : 0.f;
      share[i] = 1.f / std::max(row.size[i], 1.f);
    }
    hidden = row.take(t.length);
    by_hidden = row.take(t.length);
    contexts = row.take(t.wide);
  }

  void average(int begin, int end) {
    const Text& t = row.text;
    t.copy(t.inputs, row.tokens, copied, end + row.near, t.wide, contexts);
    copied = end + row.near;
    for (int i = begin; i < end; i++) {
      int count = 0;
      for (int j = 0; j <= row.near; j++) {
        list[count] = i + j;
        count += row.weights[long(j) * t.length + i] > 0;
      }
      sum_rows(contexts, list.data(), count, t.padded, t.padded, share + i, hidden + long(i) * t.padded);
    }
  }

  // Of the centres before `end`, to all tokens that no later centre sees.
  void spread(int end) {
    const Text& t = row.text;
    for (int i = passed; i < end && !t.whole; i++)
      for (int d = 0; d < t.padded; d += LANES) {
        float* at = by_hidden + long(i) * t.padded + d;
        store(at, share[i] * load(at));
      }
    const float one = 1.f;
    for (const int last = end < t.length ? end : t.wide; passed < last; passed++) {
      if (passed + 8 < last) t.expect(to + long(passed + 8) * t.padded);
      int count = 0;
      for (int j = std::max(0, passed - t.length + 1); j <= std::min(row.near, passed); j++) {
        list[count] = passed - j;
        count += row.weights[long(j) * t.length + passed - j] > 0;
      }
      sum_rows(by_hidden, list.data(), count, t.padded, t.padded, &one, to + long(passed) * t.padded);
    }
  }
};

}  // namespace w2v
