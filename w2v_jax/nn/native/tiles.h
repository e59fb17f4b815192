// Small matrix products, the logistic function, and loops over threads: what the kernels of word2vec are made of.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#include "xla/ffi/api/ffi.h"

namespace w2v {

#if defined(__AVX512F__)
constexpr int LANES = 16, BROAD = 4;  // numbers of a vector; vectors of a row that a product keeps in registers
#elif defined(__AVX__)
constexpr int LANES = 8, BROAD = 2;  // 16 registers instead of 32
#else
constexpr int LANES = 4, BROAD = 2;
#endif
constexpr int TALL = 6;  // rows of the part of a product that stays in registers
typedef float Vector __attribute__((vector_size(4 * LANES), may_alias));
typedef int32_t Whole __attribute__((vector_size(4 * LANES), may_alias));
typedef float Loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));  // in memory, not aligned

typedef int32_t LooseWhole __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

inline Vector load(const float* p) { return *reinterpret_cast<const Loose*>(p); }
inline void store(float* p, Vector x) { *reinterpret_cast<Loose*>(p) = x; }
inline Whole load(const int* p) { return *reinterpret_cast<const LooseWhole*>(p); }
inline void store(int* p, Whole x) { *reinterpret_cast<LooseWhole*>(p) = x; }
inline int round_up(int n, int unit = LANES) { return (n + unit - 1) / unit * unit; }
inline float sum(Vector x) {  // of halves: one after another, sixteen additions would wait for each other
  typedef float Quarter __attribute__((vector_size(16)));
  Quarter part[LANES / 4];
  std::memcpy(part, &x, sizeof x);
  for (int half = LANES / 8; half; half /= 2)
    for (int i = 0; i < half; i++) part[i] += part[i + half];
  return (part[0][0] + part[0][2]) + (part[0][1] + part[0][3]);
}
inline float dot(const float* a, const float* b, int count) {  // count is a multiple of LANES
  Vector total{};
  for (int i = 0; i < count; i += LANES) total += load(a + i) * load(b + i);
  return sum(total);
}

// total += left * right: of float32, or of pairs of bfloat16 in 32 bits, whose two products are added in float32.
inline void add_product(Vector& total, float left, Vector right) { total += left * right; }
inline void add_product(Vector& total, int left, Whole right) {
#ifdef __AVX512BF16__
  total = (Vector)_mm512_dpbf16_ps((__m512)total, (__m512bh)(Whole{} + left), (__m512bh)right);
#else
  const Whole low = Whole{} + (left << 16), high = Whole{} + (left & 0xFFFF0000);
  total += (Vector)low * (Vector)(right << 16) + (Vector)high * (Vector)(right & 0xFFFF0000);
#endif
}

// Numbers of bfloat16: the upper halves of the nearest float32 whose lower half is 0. NaN stays NaN.
struct Half {
  uint16_t bits;
};
typedef uint16_t Halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
inline Halves nearest_half(Vector x) {
#ifdef __AVX512BF16__
  return (Halves)_mm512_cvtneps_pbh((__m512)x);  // numbers below 1.2e-38 become 0
#else
  const Whole bits = (Whole)x, up = bits + 0x7FFF + ((bits >> 16) & 1);
  return __builtin_convertvector((x == x ? up : bits | 0x400000) >> 16, Halves);
#endif
}
inline Whole upper_half(Halves x) { return __builtin_convertvector(x, Whole) << 16; }
inline Vector load(const Half* p) { return (Vector)upper_half(*reinterpret_cast<const Halves*>(p)); }
inline void store(Half* p, Vector x) { *reinterpret_cast<Halves*>(p) = nearest_half(x); }
inline float number(float x) { return x; }
inline float number(Half x) {
  const uint32_t bits = uint32_t(x.bits) << 16;
  float out;
  std::memcpy(&out, &bits, sizeof out);
  return out;
}

// [count, width / 2] pairs of neighbours in each row of `from` [count, width]: the left side of a product.
inline void pair_columns(const float* from, long row, int count, int width, int* out) {
  for (int i = 0; i < count; i++, from += row, out += width / 2)
    for (int d = 0; d < width; d += LANES) store(reinterpret_cast<Half*>(out + d / 2), load(from + d));
}

// [(count + 1) / 2, width] pairs of rows of `from` [count, width], the last with zeros if count is odd: the right side.
inline void pair_rows(const float* from, long row, int count, int width, int* out) {
  for (int i = 0; i < count; i += 2, from += 2 * row, out += width)
    for (int d = 0; d < width; d += LANES) {
      const Halves high = i + 1 < count ? nearest_half(load(from + row + d)) : Halves{};
      store(out + d, upper_half(high) | __builtin_convertvector(nearest_half(load(from + d)), Whole));
    }
}

template <int M, int N, typename T>
void tile(int depth, const T* a, long a_row, long a_col, const T* b, long b_row, float* c, long c_row, bool add) {
  Vector total[M][N];
#pragma GCC unroll 8
  for (int m = 0; m < M; m++)
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) total[m][n] = add ? load(c + m * c_row + n * LANES) : Vector{};
  for (int k = 0; k < depth; k++) {
    decltype(load(b)) right[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) right[n] = load(b + k * b_row + n * LANES);
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) {
      const T left = a[m * a_row + k * a_col];
#pragma GCC unroll 8
      for (int n = 0; n < N; n++) add_product(total[m][n], left, right[n]);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; m++)
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) store(c + m * c_row + n * LANES, total[m][n]);
}

// c[m, n] = sum_k a[m, k] b[k, n], added to c if asked. `width`, of b and c, is a multiple of LANES; the rows of b and
// c lie b_row and c_row numbers apart, and a may be read in either order.
template <typename T>
void product(int height, int width, int depth, const T* a, long a_row, long a_col, const T* b, long b_row, float* c,
             long c_row, bool add) {
#define ROW(M) {tile<M, 1, T>, tile<M, 2, T>, tile<M, 3, T>, tile<M, 4, T>}
  static constexpr decltype(&tile<1, 1, T>) tiles[TALL][4] = {ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6)};
#undef ROW
  for (int n = 0; n < width; n += BROAD * LANES) {
    const int broad = std::min(BROAD, (width - n) / LANES);
    for (int m = 0; m < height; m += TALL) {
      const int tall = std::min(TALL, height - m);
      tiles[tall - 1][broad - 1](depth, a + m * a_row, a_row, a_col, b + n, b_row, c + m * c_row + n, c_row, add);
    }
  }
}

template <int M, int N>
void dots_tile(int count, const float* a, long a_row, const float* b, long b_row, float* out, long out_row) {
  Vector total[M][N] = {};
  for (int d = 0; d < count; d += LANES) {
    Vector right[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) right[n] = load(b + n * b_row + d);
#pragma GCC unroll 4
    for (int m = 0; m < M; m++) {
      const Vector left = load(a + m * a_row + d);
#pragma GCC unroll 4
      for (int n = 0; n < N; n++) total[m][n] += left * right[n];
    }
  }
#pragma GCC unroll 4
  for (int m = 0; m < M; m++)
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) out[m * out_row + n] = sum(total[m][n]);
}

// out[m, n] = a_m . b_n, of `count` numbers, a multiple of LANES: a product for few rows, without a transpose.
inline void dots(int height, int width, int count, const float* a, long a_row, const float* b, long b_row, float* out,
                 long out_row) {
  static constexpr decltype(&dots_tile<1, 1>) tiles[2][2] = {{dots_tile<1, 1>, dots_tile<1, 4>},
                                                             {dots_tile<2, 1>, dots_tile<2, 4>}};
  for (int m = 0, tall; m < height; m += tall)
    for (int n = 0, broad = tall = std::min(2, height - m); n < width; n += broad) {
      broad = width - n < 4 ? 1 : 4;
      tiles[tall - 1][broad / 4](count, a + m * a_row, a_row, b + n * b_row, b_row, out + m * out_row + n, out_row);
    }
}

// out[d, i] = in[i, d]: `count` rows, a multiple of LANES, of `dim` numbers, `in_row` apart.
template <typename T>
void transpose(const T* in, long in_row, int count, int dim, T* out, long out_row) {
  for (int i = 0; i < count; i += LANES)
    for (int d = 0; d < dim; d++)
      for (int n = 0; n < LANES; n++) out[d * out_row + i + n] = in[(i + n) * in_row + d];
}

// log(1 + exp(x)) and its derivative 1 / (1 + exp(-x)), to a few units in the last place; NaN stays NaN.
inline void logistic(Vector x, Vector& softplus, Vector& sigmoid) {
  Vector size = x < 0 ? -x : x;
  size = size > 87.f ? Vector{} + 87.f : size;
  const Vector power = size * -1.44269504f, rounded = power + 12582912.f;  // 1.5 * 2^23: the whole part is in its bits
  const Vector rest = power - (rounded - 12582912.f);
  Vector small = 1.f + rest * (.693147181f + rest * (.240226507f + rest * (.0555041087f + rest * (.00961812911f +
                 rest * (.00133335581f + rest * .000154035304f)))));
  small = (Vector)((Whole)small + (((Whole)rounded - 0x4B400000) << 23));  // exp(-|x|)
  const Vector share = 1.f / (1.f + small);
  sigmoid = x < 0 ? small * share : share;
  const Vector s = small / (2.f + small), q = s * s;  // log(1 + e) = 2 artanh(e / (2 + e))
  const Vector series = 1.f + q * (1 / 3.f + q * (1 / 5.f + q * (1 / 7.f + q * (1 / 9.f + q * (1 / 11.f + q / 13.f)))));
  softplus = (x < 0 ? Vector{} : x) + 2.f * s * series;
}

// f(0) ... f(count - 1), each once, by the caller and the threads of the pool. The results do not depend on the number
// of threads as long as no two calls write to the same place. The caller never waits for a task that has not begun: it
// may itself be a thread of the pool.
template <typename F>
void parallel(xla::ffi::ThreadPool& pool, int count, const F& f) {
  struct Shared {
    std::atomic<int> next{0}, done{0};
  };
  auto shared = std::make_shared<Shared>();
  const auto work = [shared, count, &f] {
    for (int i; (i = shared->next.fetch_add(1)) < count; shared->done.fetch_add(1)) f(i);
  };
  for (int64_t i = 1; i < std::min<int64_t>(count, pool.num_threads()); i++) pool.Schedule(std::function<void()>(work));
  work();
  while (shared->done.load() < count) std::this_thread::yield();
}

// Memory of this thread that is kept for its next call: aligned to 64 bytes, not cleared.
class Scratch {
 public:
  float* take(size_t count) {
    if (next_ == kept_.size()) kept_.emplace_back();
    std::vector<float>& one = kept_[next_++];
    if (one.size() < count + 16) one.resize(count + 16);
    return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(one.data()) + 63) / 64 * 64);
  }
  float* zeros(size_t count) { return static_cast<float*>(std::memset(take(count), 0, count * sizeof(float))); }
  void restart() { next_ = 0; }

 private:
  std::vector<std::vector<float>> kept_;
  size_t next_ = 0;
};

}  // namespace w2v
