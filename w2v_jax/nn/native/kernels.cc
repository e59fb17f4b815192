// What JAX calls (w2v_jax/nn/kernels.py): the gradients of word2vec for one batch, read from whole tables, and row-wise
// Adagrad (w2v_jax/train/rows.py). A row of the batch, or for paths a group of rows, is the work of one thread and
// writes only its own results. Groups do not depend on the number of threads, and so neither do the results.
#include <sys/mman.h>

#include "noise.h"
#include "paths.h"

namespace ffi = xla::ffi;
using namespace w2v;
using Floats = ffi::Buffer<ffi::F32>;
using Ints = ffi::Buffer<ffi::S32>;
using Any = ffi::AnyBuffer;  // of float32 or bfloat16
using Signs = ffi::Buffer<ffi::S8>;

namespace {

// Consecutive rows of a batch share the nodes of a tree: in at least GROUPS groups, for as many threads, where there are
// as many rows; of at most CENTRES centres, whose nodes would not stay in the cache of a core if they were many more.
constexpr int GROUPS = 8, CENTRES = 1024;
constexpr int TOPS = 32;  // nodes of a tree that all vectors of skip-gram are scored against

template <typename T>
Text text_of(Floats& inputs, Floats& outputs, Ints& tokens, Ints& doc, Ints& reach, ffi::Result<T>& by_inputs,
             ffi::Result<T>& by_outputs, ffi::Result<Floats>& stats, bool cbow, bool whole, int64_t draw) {
  const int rows = tokens.dimensions()[0], wide = tokens.dimensions()[1], length = reach.dimensions()[1];
  const int dim = inputs.dimensions()[1], padded = by_inputs->dimensions().back();
  return {inputs.typed_data(), outputs.typed_data(), tokens.typed_data(), doc.typed_data(), reach.typed_data(),
          by_inputs->untyped_data(), by_outputs->untyped_data(), stats->typed_data(), rows, length, wide,
          (wide - length) / 2, dim, padded, int(draw), cbow, whole};
}

ffi::Error noise_gradients(ffi::ThreadPool pool, Floats inputs, Floats outputs, Ints tokens, Ints doc, Ints reach,
                           Ints words, Ints turn, ffi::Result<Any> by_inputs, ffi::Result<Any> by_outputs,
                           ffi::Result<Floats> stats, bool cbow, bool whole, int64_t draw, int64_t every,
                           float negatives, bool half) {
  const Text t = text_of(inputs, outputs, tokens, doc, reach, by_inputs, by_outputs, stats, cbow, whole, draw);
  const int count = words.dimensions()[1];
  const Noise noise{words.typed_data(), count, int(every), turn.typed_data()[0], negatives * every / count, half};
  const auto type = by_inputs->element_type();
  if (by_outputs->element_type() != type || (type != ffi::BF16 && type != ffi::F32))
    return ffi::Error::InvalidArgument("both gradients must be float32, or both bfloat16");
  auto row = cbow ? cbow_noise<float> : skipgram_noise<float>;
  if (type == ffi::BF16) row = cbow ? cbow_noise<Half> : skipgram_noise<Half>;
  parallel(pool, t.rows, [&](int r) {
    static thread_local Scratch scratch;
    row(t, noise, scratch, r);
  });
  return ffi::Error::Success();
}

ffi::Error path_gradients(ffi::ThreadPool pool, Floats inputs, Floats outputs, Ints tokens, Ints doc, Ints reach,
                          Ints exits, Signs exit_signs, Ints nodes, Signs signs, ffi::Result<Floats> by_inputs,
                          ffi::Result<Floats> by_outputs, ffi::Result<Floats> stats, ffi::Result<Ints> ids, bool cbow,
                          bool whole, int64_t draw) {
  const Text t = text_of(inputs, outputs, tokens, doc, reach, by_inputs, by_outputs, stats, cbow, whole, draw);
  const int all = exit_signs.dimensions()[1];
  Tree tree{exits.typed_data(), nodes.typed_data(), exit_signs.typed_data(), signs.typed_data(), all,
            cbow ? 0 : std::min(all, TOPS), int(nodes.dimensions()[1]), int(outputs.dimensions()[0]),
            ids->typed_data()};
  tree.list_tops(exit_signs.dimensions()[0]);
  const int each = std::max(1, std::min(t.rows / GROUPS, CENTRES / t.length));
  parallel(pool, (t.rows + each - 1) / each, [&](int group) {
    static thread_local Scratch shared, scratch;
    path_rows(t, tree, shared, scratch, group * each, std::min((group + 1) * each, t.rows));
  });
  return ffi::Error::Success();
}

// Asks for pages of 2 MiB for a large table, once: rows are read at random, and each page is looked up. Where there are
// none, nothing changes.
void use_large_pages(void* table, size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr int COLLAPSE = 25;  // MADV_COLLAPSE of Linux 6.1, which older headers lack
  constexpr uintptr_t PAGE = 2 << 20;
  static std::atomic<uintptr_t> seen[2];
  const uintptr_t begin = (uintptr_t(table) + PAGE - 1) / PAGE * PAGE, end = (uintptr_t(table) + bytes) / PAGE * PAGE;
  if (end <= begin || seen[0] == begin || seen[1] == begin) return;
  seen[1] = seen[0].exchange(begin);
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
  madvise(reinterpret_cast<void*>(begin), end - begin, COLLAPSE);
#endif
}

// Row-wise Adagrad of the rows that `ids` [M] name, in place: gradients of one row are summed in their order. Ids
// beyond the table are left out. `grads` [M, D or more]: what is beyond D is not read.
template <typename T>
ffi::Error update(ffi::ThreadPool pool, Floats table, Floats square, Ints ids, Any grads, Floats rate,
                  ffi::Result<Floats> new_table, ffi::Result<Floats> new_square, ffi::Result<Floats> norms, float eps) {
  constexpr int LINE = 64 / sizeof(T);  // gradients
  constexpr int PARTS = 32;  // fixed, so that sums over parts do not depend on the threads
  const int size = table.dimensions()[0], dim = table.dimensions()[1], count = ids.dimensions()[0];
  const int whole = dim / LANES * LANES, *id = ids.typed_data();
  const long wide = grads.dimensions()[1];
  const float step = -rate.typed_data()[0];
  const T* given = static_cast<const T*>(grads.untyped_data());
  float *rows = new_table->typed_data(), *squares = new_square->typed_data(), found[PARTS][2] = {};
  if (rows != table.typed_data()) std::memcpy(rows, table.typed_data(), table.size_bytes());
  if (squares != square.typed_data()) std::memcpy(squares, square.typed_data(), square.size_bytes());
  use_large_pages(rows, new_table->size_bytes());
  struct Seen {
    int first, last;
  };
  static thread_local std::vector<Seen> kept;  // of a row's gradients; `first` is -1 between calls
  static thread_local std::vector<int> next, firsts;
  if (int(kept.size()) < size) kept.assign(size, {-1, -1});
  if (int(next.size()) < count) next.resize(count);
  if (int(firsts.size()) < count) firsts.resize(count);
  Seen* const seen = kept.data();
  int *after = next.data(), *first = firsts.data(), groups = 0;
  for (int m = 0; m < count; m++) {
    __builtin_prefetch(seen + id[std::min(m + 16, count - 1)], 1);
    if (unsigned(id[m]) >= unsigned(size)) {
      while (m + 64 < count && !std::memcmp(id + m, id + m + 1, 64 * sizeof(int))) m += 64;  // the places that no node took
      continue;
    }
    Seen& row = seen[id[m]];
    if (row.first < 0)
      row.first = first[groups++] = m;
    else
      after[row.last] = m;
    row.last = m;
    after[m] = -1;
  }
  parallel(pool, PARTS, [&](int part) {
    static thread_local Scratch scratch;
    scratch.restart();
    float* total = scratch.take(dim);
    const int begin = int64_t(groups) * part / PARTS, end = int64_t(groups) * (part + 1) / PARTS;
    for (int g = begin; g < end; g++) {
      if (g + 4 < end) {
        __builtin_prefetch(squares + id[first[g + 4]], 1);
        for (int d = 0; d < dim; d += 16) __builtin_prefetch(rows + long(id[first[g + 4]]) * dim + d, 1);
        for (int d = 0; d < dim; d += LINE) __builtin_prefetch(given + first[g + 4] * wide + d);
        for (int m = after[first[g + 2]]; m >= 0; m = after[m])
          for (int d = 0; d < dim; d += LINE) __builtin_prefetch(given + m * wide + d);
      }
      const int row = id[first[g]];
      seen[row].first = -1;  // a row is of one part alone
      const T* begun = given + first[g] * wide;
      const float* sum_of = total;
      if (sizeof(T) == sizeof(float) && after[first[g]] < 0)
        sum_of = reinterpret_cast<const float*>(begun);
      else
        for (int d = 0; d < dim; d++) total[d] = number(begun[d]);
      for (int m = after[first[g]]; m >= 0; m = after[m])
        for (int d = 0; d < dim; d++) total[d] += number(given[m * wide + d]);
      Vector sums{};
      float rest = 0, *to = rows + long(row) * dim;
      for (int d = 0; d < whole; d += LANES) sums += load(sum_of + d) * load(sum_of + d);
      for (int d = whole; d < dim; d++) rest += sum_of[d] * sum_of[d];
      const float mean = (sum(sums) + rest) / dim, scale = step / std::sqrt((squares[row] += mean) + eps);
      for (int d = 0; d < whole; d += LANES) store(to + d, load(to + d) + scale * load(sum_of + d));
      for (int d = whole; d < dim; d++) to[d] += scale * sum_of[d];
      found[part][0] += dim * mean;
      found[part][1] += dim * scale * scale * mean;
    }
  });
  for (int k = 0; k < 2; k++) {
    norms->typed_data()[k] = 0;
    for (int part = 0; part < PARTS; part++) norms->typed_data()[k] += found[part][k];
  }
  return ffi::Error::Success();
}

ffi::Error adagrad(ffi::ThreadPool pool, Floats table, Floats square, Ints ids, Any grads, Floats rate,
                   ffi::Result<Floats> new_table, ffi::Result<Floats> new_square, ffi::Result<Floats> norms, float eps) {
  if (grads.element_type() != ffi::BF16 && grads.element_type() != ffi::F32)
    return ffi::Error::InvalidArgument("gradients must be float32 or bfloat16");
  return (grads.element_type() == ffi::BF16 ? update<Half> : update<float>)(pool, table, square, ids, grads, rate,
                                                                            new_table, new_square, norms, eps);
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(noise_gradients_handler, noise_gradients,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Arg<Ints>()
                                  .Arg<Ints>().Arg<Ints>().Arg<Ints>().Arg<Ints>().Ret<Any>().Ret<Any>()
                                  .Ret<Floats>().Attr<bool>("cbow").Attr<bool>("whole").Attr<int64_t>("draw")
                                  .Attr<int64_t>("every").Attr<float>("negatives").Attr<bool>("half"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(adagrad_handler, adagrad,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Arg<Ints>()
                                  .Arg<Any>().Arg<Floats>().Ret<Floats>().Ret<Floats>().Ret<Floats>()
                                  .Attr<float>("eps"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(path_gradients_handler, path_gradients,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Arg<Ints>()
                                  .Arg<Ints>().Arg<Ints>().Arg<Ints>().Arg<Signs>().Arg<Ints>().Arg<Signs>()
                                  .Ret<Floats>().Ret<Floats>().Ret<Floats>().Ret<Ints>().Attr<bool>("cbow")
                                  .Attr<bool>("whole").Attr<int64_t>("draw"));

extern "C" int w2v_lanes() { return LANES; }
