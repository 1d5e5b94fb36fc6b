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
// Round to nearest, ties to even; a NaN stays one.
INLINE void store(bf16_t* p, float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  uint32_t is_nan = 0u - static_cast<uint32_t>(value != value);
  p->bits = static_cast<uint16_t>((rounded & ~is_nan) | (0x7fc0u & is_nan));
}

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
void swiglu_forward(const T* gate_up, T* out, int64_t begin, int64_t end, int64_t width) {
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

template <typename T>
void swiglu_backward(const T* dout, const T* gate_up, T* dgate_up, int64_t begin, int64_t end, int64_t width) {
  for (int64_t row = begin; row < end; ++row) {
    const T* gate = gate_up + row * 2 * width;
    const T* up = gate + width;
    const T* d = dout + row * width;
    T* dgate = dgate_up + row * 2 * width;
    T* dup = dgate + width;
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

void cross_entropy_rows(float* logits, const int64_t* targets, float* loss, int64_t ignore, bool gradient, int64_t begin,
                               int64_t end, int64_t width) {
  for (int64_t row = begin; row < end; ++row) {
    float* x = logits + row * width;
    int64_t target = targets[row];
    if (target == ignore) {
      loss[row] = 0.0f;
      memset(x, 0, sizeof(float) * width);
      continue;
    }
    float chosen = x[target], top = x[0], total = 0.0f;
    // The largest of each of 16 columns first: a plain maximum would not be vectorized, since a NaN makes it depend on order.
    float tops[16];
    for (int j = 0; j < 16; ++j) tops[j] = top;
    int64_t i = 0;
    for (; i + 16 <= width; i += 16)
      for (int j = 0; j < 16; ++j) tops[j] = x[i + j] > tops[j] ? x[i + j] : tops[j];
    for (; i < width; ++i) top = x[i] > top ? x[i] : top;
    for (int j = 0; j < 16; ++j) top = tops[j] > top ? tops[j] : top;
    for (int64_t i = 0; i < width; ++i) {
      x[i] = exp_fast(x[i] - top);
      total += x[i];
    }
    loss[row] = logf(total) + top - chosen;
    // An infinite or NaN logit must show in the loss, whatever the comparisons above made of it.
    if (!(total > 0.0f) || chosen != chosen) loss[row] = NAN;
    if (!gradient) continue;
    float inverse = 1.0f / total;
    for (int64_t i = 0; i < width; ++i) x[i] *= inverse;
    x[target] -= 1.0f;
  }
}

template <typename T>
constexpr RowKernels<T> row_kernels() {
  return {rms_norm_forward<T>, rms_norm_backward<T>, swiglu_forward<T>, swiglu_backward<T>, rotate_head<T>};
}

constexpr KernelTable table = {row_kernels<float>(), row_kernels<bf16_t>(), cross_entropy_rows};

}  // namespace

const KernelTable* KERNELS() { return &table; }
