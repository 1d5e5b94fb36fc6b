// Causal attention in bf16 whose backward pass multiplies in large blocks. ATen's own asks for one oneDNN primitive after the other for
// products of 64 rows or fewer, which takes several times as long as the products themselves.
#include <string.h>

#include <cmath>
#include <limits>

#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include "fused.h"
#include "kernels.h"

using at::BFloat16;
using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

// Queries and keys of a block, multiples of what both are padded to: scores, their gradients and what is made of them in bf16 take
// 448 KiB, less than a core's second-level cache.
constexpr int64_t QUERIES = 2 * CHUNK, KEYS = 4 * CHUNK;

// [b, h, t, e] as rows of e values.
struct Rows {
  const bf16_t* data;
  int64_t batch, head, time;
  explicit Rows(const Tensor& t)
      : data(static_cast<const bf16_t*>(t.const_data_ptr())), batch(t.stride(0)), head(t.stride(1)), time(t.stride(2)) {}
  const bf16_t* of(int64_t b, int64_t h) const { return data + b * batch + h * head; }
};

// Memory of one thread, one part behind the other, each at a multiple of 64 bytes.
class Scratch {
 public:
  template <typename T>
  static int64_t bytes(int64_t count) {
    return (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
  }
  explicit Scratch(int64_t bytes) : memory_(at::empty({bytes}, at::kByte)), next_(static_cast<char*>(memory_.data_ptr())) {}
  template <typename T>
  T* take(int64_t count) {
    T* part = reinterpret_cast<T*>(next_);
    next_ += bytes<T>(count);
    return part;
  }

 private:
  Tensor memory_;
  char* next_;
};

const BFloat16* as_torch(const bf16_t* p) { return reinterpret_cast<const BFloat16*>(p); }

// c [m, n] = a [m, k] · b [k, n], or added to it; b is packed in columns of `n`, at most CHUNK of them.
void multiply(int64_t m, int64_t n, int64_t k, const bf16_t* a, int64_t lda, const bf16_t* b, float* c, int64_t ldc, bool add) {
  at::native::cpublas::brgemm(m, n, k, lda, n, ldc, add, as_torch(a), as_torch(b), c);
}

// Gradients of softmax(q kᵀ · scale, causal) v (Dao et al., arXiv 2205.14135, algorithm 4, with scores transposed: then what has to be
// summed over keys stands in rows). `lse` [b, h, t] is the logarithm of each query's sum of exponentials.
// `mask` [b or 1, 1, t, t], where it is defined, shows queries fewer keys.
variable_list backward_in_blocks(const Tensor& dout, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out, const Tensor& lse,
                                 const Tensor& mask, float scale) {
  const AttentionKernels& kernels = ::kernels().attention;
  int64_t batch = q.size(0), heads = q.size(1), time = q.size(2), width = q.size(3);
  int64_t padded = (time + CHUNK - 1) / CHUNK * CHUNK;
  Tensor dq = at::empty(q.sizes(), q.options()), dk = at::empty(q.sizes(), q.options()), dv = at::empty(q.sizes(), q.options());
  Rows rows_q(q), rows_k(k), rows_v(v), rows_out(out), rows_dout(dout);
  // The gradients lie head behind head.
  auto part_of = [&](Tensor& t, int64_t head) { return static_cast<bf16_t*>(t.mutable_data_ptr()) + head * time * width; };
  const float* all_lse = lse.const_data_ptr<float>();
  Tensor seen;  // by key and then query, padded
  if (mask.defined()) {
    seen = at::zeros({mask.size(0), padded, padded}, mask.options());
    seen.narrow(1, 0, time).narrow(2, 0, time).copy_(mask.select(1, 0).transpose(1, 2));
  }
  using S = Scratch;
  int64_t bytes = 3 * S::bytes<bf16_t>(padded * width) + 2 * S::bytes<float>(padded * width) + 4 * S::bytes<bf16_t>(QUERIES * width) +
                  2 * S::bytes<float>(QUERIES) + 2 * S::bytes<float>(QUERIES * KEYS) + 3 * S::bytes<bf16_t>(QUERIES * KEYS) +
                  S::bytes<float>(QUERIES * width);
  at::parallel_for(0, batch * heads, 1, [&](int64_t begin, int64_t end) {
    Scratch scratch(bytes);
    auto *k_turned = scratch.take<bf16_t>(padded * width), *k_padded = scratch.take<bf16_t>(padded * width),
         *v_padded = scratch.take<bf16_t>(padded * width);
    auto *dk_sum = scratch.take<float>(padded * width), *dv_sum = scratch.take<float>(padded * width);
    auto *q_columns = scratch.take<bf16_t>(QUERIES * width), *dout_columns = scratch.take<bf16_t>(QUERIES * width),
         *q_pairs = scratch.take<bf16_t>(QUERIES * width), *dout_pairs = scratch.take<bf16_t>(QUERIES * width);
    auto *block_lse = scratch.take<float>(QUERIES), *delta = scratch.take<float>(QUERIES);
    auto *scores = scratch.take<float>(QUERIES * KEYS), *dp = scratch.take<float>(QUERIES * KEYS);
    auto *p = scratch.take<bf16_t>(QUERIES * KEYS), *ds = scratch.take<bf16_t>(QUERIES * KEYS),
         *ds_pairs = scratch.take<bf16_t>(QUERIES * KEYS);
    auto* dq_turned = scratch.take<float>(QUERIES * width);
    for (int64_t at = begin; at < end; ++at) {
      int64_t b = at / heads, h = at % heads;
      const bf16_t *q_rows = rows_q.of(b, h), *k_rows = rows_k.of(b, h), *v_rows = rows_v.of(b, h);
      const bf16_t *out_rows = rows_out.of(b, h), *dout_rows = rows_dout.of(b, h);
      kernels.turn(k_rows, rows_k.time, time, width, k_turned, padded);
      int64_t ld_k = rows_k.time, ld_v = rows_v.time;
      if (padded != time) {
        kernels.pad(k_rows, ld_k, time, width, k_padded, padded);
        kernels.pad(v_rows, ld_v, time, width, v_padded, padded);
        k_rows = k_padded, v_rows = v_padded, ld_k = ld_v = width;
      }
      memset(dk_sum, 0, sizeof(float) * padded * width);
      memset(dv_sum, 0, sizeof(float) * padded * width);
      for (int64_t first = 0; first < padded; first += QUERIES) {
        int64_t queries = std::min(QUERIES, padded - first), valid = std::min(queries, time - first);
        const bf16_t *q_block = q_rows + first * rows_q.time, *dout_block = dout_rows + first * rows_dout.time;
        kernels.pack_columns(q_block, rows_q.time, valid, queries, width, q_columns);
        kernels.pack_columns(dout_block, rows_dout.time, valid, queries, width, dout_columns);
        kernels.pack_pairs(q_block, rows_q.time, valid, queries, width, q_pairs);
        kernels.pack_pairs(dout_block, rows_dout.time, valid, queries, width, dout_pairs);
        kernels.dots(out_rows + first * rows_out.time, rows_out.time, dout_block, rows_dout.time, valid, queries, width, delta);
        for (int64_t i = 0; i < queries; ++i)  // what is there only to fill a block gets no probability
          block_lse[i] = i < valid ? all_lse[at * time + first + i] : 1e30f;
        for (int64_t key = 0; key < first + queries; key += KEYS) {
          int64_t keys = std::min(KEYS, first + queries - key);
          for (int64_t c = 0; c < queries; c += CHUNK) {
            multiply(keys, CHUNK, width, k_rows + key * ld_k, ld_k, q_columns + c * width, scores + c, queries, false);
            multiply(keys, CHUNK, width, v_rows + key * ld_v, ld_v, dout_columns + c * width, dp + c, queries, false);
          }
          const uint8_t* block_seen = nullptr;
          if (seen.defined())
            block_seen = static_cast<const uint8_t*>(seen.const_data_ptr()) + ((seen.size(0) == 1 ? 0 : b) * padded + key) * padded + first;
          kernels.gradient(scores, dp, block_lse, delta, block_seen, padded, scale, keys, queries, key - first, p, ds, ds_pairs);
          for (int64_t c = 0; c < width; c += CHUNK) {
            int64_t columns = std::min(CHUNK, width - c);
            multiply(keys, columns, queries, p, queries, dout_pairs + c * queries, dv_sum + key * width + c, width, true);
            multiply(keys, columns, queries, ds, queries, q_pairs + c * queries, dk_sum + key * width + c, width, true);
          }
          for (int64_t c = 0; c < queries; c += CHUNK)
            multiply(width, CHUNK, keys, k_turned + key, padded, ds_pairs + c * keys, dq_turned + c, queries, key > 0);
        }
        kernels.turn_back(dq_turned, queries, valid, width, part_of(dq, at) + first * width);
      }
      kernels.round(dk_sum, time * width, part_of(dk, at));
      kernels.round(dv_sum, time * width, part_of(dv, at));
    }
    at::native::cpublas::brgemm_release();
  });
  return {dq, dk, dv};
}

// Whether this CPU multiplies packed blocks of bf16.
bool multiplies_blocks() {
  static const bool packs = at::native::cpublas::could_pack(at::kBFloat16);
  return packs;
}

// Heads must have whole columns.
bool in_blocks(const Tensor& q) {
  return multiplies_blocks() && q.scalar_type() == at::kBFloat16 && q.size(3) % 16 == 0 && q.size(2) > 0;
}

struct CausalAttention : public Function<CausalAttention> {
  static Tensor forward(AutogradContext* ctx, const Tensor& q, const Tensor& k, const Tensor& v, const std::optional<Tensor>& mask) {
    TORCH_CHECK(q.dim() == 4 && q.sizes() == k.sizes() && q.sizes() == v.sizes(), "query, key and value have shapes ", q.sizes(), ", ", k.sizes(),
                " and ", v.sizes(), "; expected the same [b, h, t, e]");
    TORCH_CHECK(q.device().is_cpu() && q.scalar_type() == k.scalar_type() && q.scalar_type() == v.scalar_type(),
                "query, key and value must be of one type, on the CPU");
    if (mask.has_value()) {
      TORCH_CHECK(mask->dim() == 4 && mask->scalar_type() == at::kBool && (mask->size(0) == 1 || mask->size(0) == q.size(0)) &&
                      mask->size(1) == 1 && mask->size(2) == q.size(2) && mask->size(3) == q.size(2),
                  "the mask has shape ", mask->sizes(), ", expected booleans [b or 1, 1, t, t]");
    }
    auto [out, lse] = at::_scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, /*is_causal=*/!mask.has_value(), bias(mask, q));
    ctx->save_for_backward({q, k, v, out, lse, mask.value_or(Tensor())});
    return out;
  }

  // What is added to scores, as libtorch takes a mask.
  static std::optional<Tensor> bias(const std::optional<Tensor>& mask, const Tensor& q) {
    if (!mask.has_value()) return std::nullopt;
    return at::zeros(mask->sizes(), q.options()).masked_fill_(mask->logical_not(), -std::numeric_limits<double>::infinity());
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    const Tensor &q = saved[0], &k = saved[1], &v = saved[2], &out = saved[3], &lse = saved[4], &mask = saved[5];
    if (!in_blocks(q)) {
      auto given = mask.defined() ? std::optional<Tensor>(mask) : std::nullopt;
      auto [dq, dk, dv] =
          at::_scaled_dot_product_flash_attention_for_cpu_backward(grads[0], q, k, v, out, lse, 0.0, !given.has_value(), bias(given, q));
      return {dq, dk, dv, Tensor()};
    }
    auto whole = [](const Tensor& t) { return t.stride(3) == 1 ? t : t.contiguous(); };
    float scale = 1.0f / std::sqrt(static_cast<float>(q.size(3)));
    auto found = backward_in_blocks(whole(grads[0]), whole(q), whole(k), whole(v), whole(out), lse.contiguous(), mask, scale);
    found.emplace_back();
    return found;
  }
};

}  // namespace

int jl_has_block_attention() { return multiplies_blocks() ? 1 : 0; }

char* jl_causal_attention(tensor q, tensor k, tensor v, tensor mask, tensor* out) {
  return jl_guard([&] {
    auto given = mask == nullptr ? std::nullopt : std::optional<Tensor>(*mask);
    *out = new Tensor(CausalAttention::apply(*q, *k, *v, given));
  });
}
