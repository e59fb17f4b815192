/* GloVe as in Pennington, Socher and Manning 2014, one pair at a time in one thread: what ours is compared with.

   J = sum of f(x) (w . c + b + b' - log x)^2, f(x) = min(1, (x / x_max)^alpha), over pairs with a count x, in an order
   drawn anew for each pass. AdaGrad (Duchi et al. 2011): every number p with gradient g of J moves by
   -rate g / sqrt(start + sum of its earlier g^2).

   glove_reference PAIRS OUT words dim passes x_max alpha rate start seed
   PAIRS: int32 word, int32 context, float32 count a pair. OUT: float32 W [words, dim + 1], then C; the bias is last.
   Prints the mean of f(x) (...)^2 before each update, a line a pass. */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct pair { int32_t word, context; float x; };

static uint64_t state;

static uint64_t draw(void) { /* SplitMix64, Steele et al. 2014 */
  uint64_t z = (state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

static void fail(const char *what) { fprintf(stderr, "error: %s\n", what); exit(2); }

static void shuffle(struct pair *pairs, size_t count) {
  for (size_t last = count - 1; last > 0; last--) {
    size_t other = draw() % (last + 1);
    struct pair held = pairs[last];
    pairs[last] = pairs[other];
    pairs[other] = held;
  }
}

/* One pair; returns f(x) times the squared error. w and c are the rows, their sums of squares beside. */
static float update(float *w, float *c, float *w_sum, float *c_sum, int dim, float f, float log_x, float rate) {
  float fitted = w[dim] + c[dim];
  for (int d = 0; d < dim; d++) fitted += w[d] * c[d];
  float error = fitted - log_x, scale = 2 * f * error;
  for (int d = 0; d < dim; d++) {
    float by_w = scale * c[d], by_c = scale * w[d];
    w[d] -= rate * by_w / sqrtf(w_sum[d]);
    c[d] -= rate * by_c / sqrtf(c_sum[d]);
    w_sum[d] += by_w * by_w;
    c_sum[d] += by_c * by_c;
  }
  w[dim] -= rate * scale / sqrtf(w_sum[dim]);
  c[dim] -= rate * scale / sqrtf(c_sum[dim]);
  w_sum[dim] += scale * scale;
  c_sum[dim] += scale * scale;
  return f * error * error;
}

int main(int argc, char **argv) {
  if (argc != 11) fail("ten arguments, see the head of the source");
  long words = atol(argv[3]);
  int dim = atoi(argv[4]), passes = atoi(argv[5]);
  double x_max = atof(argv[6]), alpha = atof(argv[7]);
  float rate = (float)atof(argv[8]), start = (float)atof(argv[9]);
  state = strtoull(argv[10], NULL, 10);

  FILE *in = fopen(argv[1], "rb");
  if (!in || fseek(in, 0, SEEK_END)) fail("no pairs");
  size_t count = (size_t)ftell(in) / sizeof(struct pair);
  struct pair *pairs = malloc(count * sizeof(struct pair));
  rewind(in);
  if (!count || !pairs || fread(pairs, sizeof(struct pair), count, in) != count) fail("pairs cannot be read");
  fclose(in);

  size_t row = (size_t)dim + 1, table = (size_t)words * row;
  float *p = malloc(2 * table * sizeof(float)), *sum = malloc(2 * table * sizeof(float));
  if (!p || !sum) fail("no memory");
  for (size_t k = 0; k < 2 * table; k++) {
    p[k] = ((float)(draw() >> 40) / 16777216.0f - 0.5f) / (float)dim;
    sum[k] = start;
  }
  for (int pass = 0; pass < passes; pass++) {
    double total = 0;
    shuffle(pairs, count);
    for (size_t k = 0; k < count; k++) {
      size_t w = (size_t)pairs[k].word * row, c = table + (size_t)pairs[k].context * row;
      double x = pairs[k].x;
      float f = x < x_max ? (float)pow(x / x_max, alpha) : 1.0f;
      total += update(p + w, p + c, sum + w, sum + c, dim, f, (float)log(x), rate);
    }
    printf("%.6f\n", total / (double)count);
    fflush(stdout);
  }
  FILE *out = fopen(argv[2], "wb");
  if (!out || fwrite(p, sizeof(float), 2 * table, out) != 2 * table || fclose(out)) fail("OUT cannot be written");
  return 0;
}
