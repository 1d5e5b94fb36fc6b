// Loops over rows for the CPU, free of torch: f32 or bf16 storage, f32 arithmetic.
// Every function works on rows [begin, end) so that the caller can split rows over threads.
#pragma once
#include <stdint.h>

struct bf16_t {
  uint16_t bits;
};

// Columns of a packed operand, see AttentionKernels.
constexpr int64_t CHUNK = 64;

// The loops for one storage type.
template <typename T>
struct RowKernels {
  // y = x / rms(x) * w, with x = a + b first when b is given (and stored to sum). rstd gets 1 / rms of each row.
  void (*rms_norm_forward)(const T* a, const T* b, const T* w, T* sum, T* y, float* rstd, float eps, int64_t begin, int64_t end,
                           int64_t width);
  // dx = gradient of rms_norm_forward's x, plus dsum when given; dw (f32, one row), when given, is added to.
  void (*rms_norm_backward)(const T* dy, const T* dsum, const T* x, const T* w, const float* rstd, T* dx, float* dw, int64_t begin,
                            int64_t end, int64_t width);
  // out = silu(gate) * up for rows of [gate | up].
  void (*swiglu_forward)(const T* gate_up, T* out, int64_t begin, int64_t end, int64_t width);
  void (*swiglu_backward)(const T* dout, const T* gate_up, T* dgate_up, int64_t begin, int64_t end, int64_t width);
  // Rotates one head: (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin); `sign` -1 turns back.
  void (*rotate_head)(const T* x, T* y, const float* cos, const float* sin, float sign, int64_t half);
  // Each row of logits becomes softmax(row) - onehot(target), or zeros where the target is ignored; loss[row] gets the
  // negative log-likelihood, or 0. With `gradient` false the row is left in an unspecified state.
  void (*cross_entropy_rows)(T* logits, const int64_t* targets, float* loss, int64_t ignore, bool gradient, int64_t begin, int64_t end,
                             int64_t width);
};

// Loops around the block products of attention, see attention.cpp. Rows are `width` values, `stride` apart; of `rows` rows the first
// `valid` are given, and the others are zeros. Packed operands lie in chunks of CHUNK columns (the last may have fewer), and in each, pairs
// of values that follow each other in a column are neighbours.
struct AttentionKernels {
  // The transposed rows, each of them a column.
  void (*pack_columns)(const bf16_t* x, int64_t stride, int64_t valid, int64_t rows, int64_t width, bf16_t* out);
  // The rows as they are.
  void (*pack_pairs)(const bf16_t* x, int64_t stride, int64_t valid, int64_t rows, int64_t width, bf16_t* out);
  // [width, padded]: the transposed rows, not packed.
  void (*turn)(const bf16_t* x, int64_t stride, int64_t valid, int64_t width, bf16_t* out, int64_t padded);
  // The rows, and zeros up to `padded` of them.
  void (*pad)(const bf16_t* x, int64_t stride, int64_t valid, int64_t width, bf16_t* out, int64_t padded);
  // The sum of the products of each two rows.
  void (*dots)(const bf16_t* a, int64_t stride_a, const bf16_t* b, int64_t stride_b, int64_t valid, int64_t rows, int64_t width, float* out);
  // From scores and the gradient of probabilities, [keys, queries] each: the probabilities, and the gradient of scores, as rows and packed.
  // Key j is seen by queries from j + offset on, and where `seen` is not null, by those for which there is a 1 in its row.
  void (*gradient)(const float* scores, const float* dp, const float* lse, const float* delta, const uint8_t* seen, int64_t seen_stride,
                   float scale, int64_t keys, int64_t queries, int64_t offset, bf16_t* p, bf16_t* ds, bf16_t* ds_pairs);
  // [width, columns] back to `valid` rows.
  void (*turn_back)(const float* x, int64_t columns, int64_t valid, int64_t width, bf16_t* out);
  void (*round)(const float* x, int64_t count, bf16_t* out);
};

// What is the same for every weight in a step of AdamW.
struct AdamStep {
  float decay;       // 1 - learning rate * weight decay
  float beta1_rest;  // 1 - beta1
  float beta2, beta2_rest;
  float rate;        // learning rate / bias correction of the first moment
  float root_scale;  // 1 / the square root of the bias correction of the second
  float eps;
  float grad_scale;  // gradients are multiplied by it
};

// Loops of the optimizer over gradients of one storage type.
template <typename T>
struct GradKernels {
  // The sum of squares.
  double (*squares)(const T* grad, int64_t count);
  // sum = a + b; `sum` may be the same memory as an f32 `a`.
  void (*add)(const T* a, const float* b, float* sum, int64_t count);
  void (*add_bf16)(const T* a, const bf16_t* b, float* sum, int64_t count);
  // One step of AdamW; `copy`, when given, gets the new weights.
  void (*adamw)(float* weight, const T* grad, float* first, float* second, bf16_t* copy, int64_t count, const AdamStep& step);
};

// All loops, compiled for one kind of CPU.
struct KernelTable {
  RowKernels<float> f32;
  RowKernels<bf16_t> bf16;
  AttentionKernels attention;
  GradKernels<float> grad_f32;
  GradKernels<bf16_t> grad_bf16;
};

// kernels.cpp is compiled once for each of these; the second and third only for x86-64.
const KernelTable* kernels_base();
const KernelTable* kernels_avx2();
const KernelTable* kernels_avx512();

// The fastest of these that this CPU can run.
const KernelTable& kernels();
