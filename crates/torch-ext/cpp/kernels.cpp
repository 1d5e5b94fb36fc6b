// See kernels.h. The loops are written for the compiler to vectorize; the build script compiles this file once for each
// kind of CPU, with KERNELS the name of the function that gives the table. Nothing but that function has a global name.
#include "kernels.h"

#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

namespace {

INLINE float load(const float* p) { return *p; }
INLINE float load(const bf16_t* p) {
  uint32_t bits = static_cast<uint32_t>(p->bits) << 16;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}
INLINE void store(float* p, float value) { *p = value; }
// Bits of a bf16: round to nearest, ties to even; a NaN stays one.
INLINE uint32_t rounded_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  uint32_t is_nan = 0u - static_cast<uint32_t>(value != value);
  return (rounded & ~is_nan) | (0x7fc0u & is_nan);
}
INLINE void store(bf16_t* p, float value) { p->bits = static_cast<uint16_t>(rounded_bits(value)); }

// e^x within 2 units in the last place between -87.6 and 88; 0 below and e^88 above. x = n ln 2 + r, a polynomial for e^r, then 2^n by its bits.
INLINE float exp_fast(float x) {
  float clamped = x < -88.0f ? -88.0f : x;
  clamped = clamped > 88.0f ? 88.0f : clamped;
  // Rounded through an integer: a call of nearbyintf would keep the loop from being vectorized, and so would branches.
  float quotient = clamped * 1.44269504088896341f;
  int32_t whole = static_cast<int32_t>(quotient + copysignf(0.5f, quotient));
  float n = static_cast<float>(whole);
  float r = clamped - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  int32_t power = (whole + 127) << 23;  // all zero bits, hence the number 0, at the lower end
  float scale;
  memcpy(&scale, &power, 4);
  return p * scale;
}

template <typename T>
void rms_norm_forward(const T* a, const T* b, const T* w, T* sum, T* y, float* rstd, float eps, int64_t begin, int64_t end,
                                  int64_t width) {
  for (int64_t row = begin; row < end; ++row) {
    const T* x = a + row * width;
    if (b != nullptr) {
      const T* other = b + row * width;
      T* target = sum + row * width;
      for (int64_t i = 0; i < width; ++i) store(target + i, load(x + i) + load(other + i));
      x = target;
    }
    float squares = 0.0f;
    for (int64_t i = 0; i < width; ++i) squares += load(x + i) * load(x + i);
    float inverse = 1.0f / sqrtf(squares / static_cast<float>(width) + eps);
    rstd[row] = inverse;
    T* out = y + row * width;
    for (int64_t i = 0; i < width; ++i) store(out + i, load(x + i) * inverse * load(w + i));
  }
}

template <typename T>
void rms_norm_backward(const T* dy, const T* dsum, const T* x, const T* w, const float* rstd, T* dx, float* dw, int64_t begin,
                                   int64_t end, int64_t width) {
  for (int64_t row = begin; row < end; ++row) {
    const T* g = dy + row * width;
    const T* in = x + row * width;
    T* out = dx + row * width;
    float inverse = rstd[row], dot = 0.0f;
    for (int64_t i = 0; i < width; ++i) dot += load(g + i) * load(w + i) * load(in + i);
    float factor = dot * inverse * inverse * inverse / static_cast<float>(width);
    if (dsum != nullptr) {
      const T* add = dsum + row * width;
      for (int64_t i = 0; i < width; ++i)
        store(out + i, load(g + i) * load(w + i) * inverse - load(in + i) * factor + load(add + i));
    } else {
      for (int64_t i = 0; i < width; ++i) store(out + i, load(g + i) * load(w + i) * inverse - load(in + i) * factor);
    }
    if (dw != nullptr)
      for (int64_t i = 0; i < width; ++i) dw[i] += load(g + i) * load(in + i) * inverse;
  }
}

template <typename T>
void swiglu_forward(const T* __restrict gate_up, T* __restrict out, int64_t begin, int64_t end, int64_t width) {
  for (int64_t row = begin; row < end; ++row) {
    const T* gate = gate_up + row * 2 * width;
    const T* up = gate + width;
    T* y = out + row * width;
    for (int64_t i = 0; i < width; ++i) {
      float g = load(gate + i);
      store(y + i, g / (1.0f + exp_fast(-g)) * load(up + i));
    }
  }
}

// Without `__restrict` there are more pairs of pointers than the compiler compares before a loop, and it is not vectorized.
template <typename T>
void swiglu_backward(const T* __restrict dout, const T* __restrict gate_up, T* __restrict dgate_up, int64_t begin, int64_t end, int64_t width) {
  for (int64_t row = begin; row < end; ++row) {
    const T* gate = gate_up + row * 2 * width;
    const T* up = gate + width;
    const T* d = dout + row * width;
    T* __restrict dgate = dgate_up + row * 2 * width;
    T* __restrict dup = dgate + width;
    for (int64_t i = 0; i < width; ++i) {
      float g = load(gate + i), dy = load(d + i);
      float sigmoid = 1.0f / (1.0f + exp_fast(-g));
      float silu = g * sigmoid;
      store(dgate + i, dy * load(up + i) * (sigmoid + silu * (1.0f - sigmoid)));
      store(dup + i, dy * silu);
    }
  }
}

template <typename T>
void rotate_head(const T* x, T* y, const float* cos, const float* sin, float sign, int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    float x1 = load(x + i), x2 = load(x + half + i), c = cos[i], s = sin[i] * sign;
    store(y + i, x1 * c - x2 * s);
    store(y + half + i, x2 * c + x1 * s);
  }
}

template <typename T>
void cross_entropy_rows(T* logits, const int64_t* targets, float* loss, int64_t ignore, bool gradient, int64_t begin, int64_t end,
                        int64_t width) {
  for (int64_t row = begin; row < end; ++row) {
    T* x = logits + row * width;
    int64_t target = targets[row];
    if (target == ignore) {
      loss[row] = 0.0f;
      memset(x, 0, sizeof(T) * width);
      continue;
    }
    float chosen = load(x + target), top = load(x), total = 0.0f;
    // The largest of each of 16 columns first: a plain maximum would not be vectorized, since a NaN makes it depend on order.
    float tops[16];
    for (int j = 0; j < 16; ++j) tops[j] = top;
    int64_t i = 0;
    for (; i + 16 <= width; i += 16)
      for (int j = 0; j < 16; ++j) tops[j] = load(x + i + j) > tops[j] ? load(x + i + j) : tops[j];
    for (; i < width; ++i) top = load(x + i) > top ? load(x + i) : top;
    for (int j = 0; j < 16; ++j) top = tops[j] > top ? tops[j] : top;
    // What is stored in f32 keeps the exponentials; rounded to bf16 they would add up to something else, so they are computed twice.
    constexpr bool keeps = sizeof(T) == sizeof(float);
    for (int64_t i = 0; i < width; ++i) {
      float power = exp_fast(load(x + i) - top);
      if (keeps) store(x + i, power);
      total += power;
    }
    loss[row] = logf(total) + top - chosen;
    // An infinite or NaN logit must show in the loss, whatever the comparisons above made of it.
    if (!(total > 0.0f) || chosen != chosen) loss[row] = NAN;
    if (!gradient) continue;
    float inverse = 1.0f / total, of_target = (keeps ? load(x + target) : exp_fast(chosen - top)) * inverse - 1.0f;
    for (int64_t i = 0; i < width; ++i) store(x + i, (keeps ? load(x + i) : exp_fast(load(x + i) - top)) * inverse);
    store(x + target, of_target);
  }
}

void pack_columns(const bf16_t* x, int64_t stride, int64_t valid, int64_t rows, int64_t width, bf16_t* out) {
  // Pairs of a row are moved as one number of 32 bits, in squares that stay in the first-level cache.
  for (int64_t c = 0; c < rows; c += CHUNK) {
    uint32_t* __restrict to = reinterpret_cast<uint32_t*>(out + c * width);
    for (int64_t pair = 0; pair < width / 2; pair += 8)
      for (int64_t r = 0; r < CHUNK; ++r) {
        uint32_t eight[8] = {};
        if (c + r < valid) memcpy(eight, x + (c + r) * stride + 2 * pair, sizeof(eight));
        for (int64_t i = 0; i < 8; ++i) to[(pair + i) * CHUNK + r] = eight[i];
      }
  }
}

void pack_pairs(const bf16_t* x, int64_t stride, int64_t valid, int64_t rows, int64_t width, bf16_t* out) {
  for (int64_t c = 0; c < width; c += CHUNK) {
    int64_t columns = width - c < CHUNK ? width - c : CHUNK;
    for (int64_t r = 0; r < rows; r += 2) {
      const bf16_t* __restrict one = x + r * stride + c;
      const bf16_t* __restrict other = one + stride;
      uint32_t* __restrict to = reinterpret_cast<uint32_t*>(out + c * rows + r * columns);
      if (r + 1 < valid)
        for (int64_t i = 0; i < columns; ++i) to[i] = one[i].bits | static_cast<uint32_t>(other[i].bits) << 16;
      else if (r < valid)
        for (int64_t i = 0; i < columns; ++i) to[i] = one[i].bits;
      else
        memset(to, 0, sizeof(uint32_t) * columns);
    }
  }
}

void turn(const bf16_t* x, int64_t stride, int64_t valid, int64_t width, bf16_t* __restrict out, int64_t padded) {
  for (int64_t first = 0; first < width; first += 16)
    for (int64_t row = 0; row < padded; ++row) {
      bf16_t some[16] = {};
      if (row < valid) memcpy(some, x + row * stride + first, sizeof(some));
      for (int64_t i = 0; i < 16; ++i) out[(first + i) * padded + row] = some[i];
    }
}

void pad(const bf16_t* x, int64_t stride, int64_t valid, int64_t width, bf16_t* out, int64_t padded) {
  for (int64_t row = 0; row < valid; ++row) memcpy(out + row * width, x + row * stride, sizeof(bf16_t) * width);
  memset(out + valid * width, 0, sizeof(bf16_t) * (padded - valid) * width);
}

void dots(const bf16_t* a, int64_t stride_a, const bf16_t* b, int64_t stride_b, int64_t valid, int64_t rows, int64_t width, float* out) {
  for (int64_t row = 0; row < rows; ++row) {
    float sum = 0.0f;
    if (row < valid)
      for (int64_t i = 0; i < width; ++i) sum += load(a + row * stride_a + i) * load(b + row * stride_b + i);
    out[row] = sum;
  }
}

// One key's row: probabilities and the gradient of scores, whose bits are returned too.
INLINE uint32_t gradient_at(float score, float dp, float lse, float delta, float seen, float scale, uint16_t* p, uint16_t* ds) {
  float probability = exp_fast(score * scale - lse) * seen;
  *p = static_cast<uint16_t>(rounded_bits(probability));
  uint32_t bits = rounded_bits(probability * (dp - delta) * scale);
  *ds = static_cast<uint16_t>(bits);
  return bits;
}

template <bool masked>
void gradient_of(const float* __restrict scores, const float* __restrict dp, const float* __restrict lse, const float* __restrict delta,
                 const uint8_t* __restrict seen, int64_t seen_stride, float scale, int64_t keys, int64_t queries, int64_t offset, bf16_t* p_out, bf16_t* ds_out, bf16_t* pairs_out) {
  uint16_t* __restrict p = reinterpret_cast<uint16_t*>(p_out);
  uint16_t* __restrict ds = reinterpret_cast<uint16_t*>(ds_out);
  for (int64_t key = 0; key < keys; key += 2) {
    for (int64_t c = 0; c < queries; c += CHUNK) {
      uint32_t* __restrict pairs = reinterpret_cast<uint32_t*>(pairs_out) + (c * keys + key * CHUNK) / 2;
      int64_t one = key * queries + c, other = one + queries;
      for (int64_t i = 0; i < CHUNK; ++i) {
        float by_one = masked ? seen[key * seen_stride + c + i] : 1.0f, by_other = masked ? seen[(key + 1) * seen_stride + c + i] : 1.0f;
        uint32_t low = gradient_at(scores[one + i], dp[one + i], lse[c + i], delta[c + i], by_one, scale, p + one + i, ds + one + i);
        uint32_t high =
            gradient_at(scores[other + i], dp[other + i], lse[c + i], delta[c + i], by_other, scale, p + other + i, ds + other + i);
        pairs[i] = low | high << 16;
      }
      // What comes before a key does not see it.
      for (int64_t i = 0; i < CHUNK && c + i < key + 1 + offset; ++i) {
        p[other + i] = ds[other + i] = 0;
        if (c + i < key + offset) p[one + i] = ds[one + i] = 0;
        pairs[i] = c + i < key + offset ? 0 : pairs[i] & 0xffffu;
      }
    }
  }
}

void gradient(const float* scores, const float* dp, const float* lse, const float* delta, const uint8_t* seen, int64_t seen_stride, float scale,
              int64_t keys, int64_t queries, int64_t offset, bf16_t* p, bf16_t* ds, bf16_t* ds_pairs) {
  auto run = seen == nullptr ? gradient_of<false> : gradient_of<true>;
  run(scores, dp, lse, delta, seen, seen_stride, scale, keys, queries, offset, p, ds, ds_pairs);
}

void turn_back(const float* x, int64_t columns, int64_t valid, int64_t width, bf16_t* out) {
  for (int64_t first = 0; first < width; first += 16)
    for (int64_t row = 0; row < valid; ++row) {
      float some[16];
      for (int64_t i = 0; i < 16; ++i) some[i] = x[(first + i) * columns + row];
      for (int64_t i = 0; i < 16; ++i) store(out + row * width + first + i, some[i]);
    }
}

void round_all(const float* __restrict x, int64_t count, bf16_t* __restrict out) {
  for (int64_t i = 0; i < count; ++i) store(out + i, x[i]);
}

template <typename T>
double squares(const T* __restrict grad, int64_t count) {
  // f32 lanes over so few that what they lose is as little as rounding the result.
  constexpr int64_t BLOCK = 4096;
  double sum = 0.0;
  for (int64_t begin = 0; begin < count; begin += BLOCK) {
    int64_t end = begin + BLOCK < count ? begin + BLOCK : count;
    float part = 0.0f;
    for (int64_t i = begin; i < end; ++i) part += load(grad + i) * load(grad + i);
    sum += part;
  }
  return sum;
}

template <typename A, typename B>
void add(const A* a, const B* b, float* sum, int64_t count) {
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) sum[i] = load(a + i) + load(b + i);
}

template <typename T, bool copied>
void adamw_of(float* __restrict weight, const T* __restrict grad, float* __restrict first, float* __restrict second, bf16_t* __restrict copy,
              int64_t count, AdamStep step) {
  for (int64_t i = 0; i < count; ++i) {
    float g = load(grad + i) * step.grad_scale;
    float m = first[i] + (g - first[i]) * step.beta1_rest;
    float v = second[i] * step.beta2 + g * g * step.beta2_rest;
    float w = weight[i] * step.decay - step.rate * m / (sqrtf(v) * step.root_scale + step.eps);
    first[i] = m;
    second[i] = v;
    weight[i] = w;
    if (copied) store(copy + i, w);
  }
}

template <typename T>
void adamw(float* weight, const T* grad, float* first, float* second, bf16_t* copy, int64_t count, const AdamStep& step) {
  auto run = copy == nullptr ? adamw_of<T, false> : adamw_of<T, true>;
  run(weight, grad, first, second, copy, count, step);
}

template <typename T>
constexpr RowKernels<T> row_kernels() {
  return {rms_norm_forward<T>, rms_norm_backward<T>, swiglu_forward<T>, swiglu_backward<T>, rotate_head<T>, cross_entropy_rows<T>};
}

constexpr AttentionKernels attention = {pack_columns, pack_pairs, turn, pad, dots, gradient, turn_back, round_all};
template <typename T>
constexpr GradKernels<T> grad_kernels() {
  return {squares<T>, add<T, float>, add<T, bf16_t>, adamw<T>};
}

constexpr KernelTable table = {row_kernels<float>(), row_kernels<bf16_t>(), attention, grad_kernels<float>(), grad_kernels<bf16_t>()};

}  // namespace

const KernelTable* KERNELS() { return &table; }
