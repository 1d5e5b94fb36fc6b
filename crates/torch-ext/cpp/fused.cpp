// Operations of a Llama block that ATen does in many passes over memory, each as one pass with a backward pass of its own.
// CPU only, f32 or bf16; `model` composes them of ATen operations elsewhere. See src/fused.rs for the meaning.
#include "fused.h"

#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels.h"
#include "optim.h"

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

// Calls f with a null pointer of the storage type of `t`.
template <typename F>
void with_type(const Tensor& t, F f) {
  if (t.scalar_type() == at::kFloat) {
    f(static_cast<float*>(nullptr));
  } else if (t.scalar_type() == at::kBFloat16) {
    f(static_cast<bf16_t*>(nullptr));
  } else {
    TORCH_CHECK(false, "expected float or bfloat16, got ", t.scalar_type());
  }
}

}  // namespace

// The fastest loops that this CPU can run.
const KernelTable& kernels() {
  static const KernelTable* chosen = [] {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
      return kernels_avx512();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return kernels_avx2();
#endif
    return kernels_base();
  }();
  return *chosen;
}

namespace {

const RowKernels<float>& rows_of(float*) { return kernels().f32; }
const RowKernels<bf16_t>& rows_of(bf16_t*) { return kernels().bf16; }

template <typename T>
T* ptr(const Tensor& t, T*) {
  return t.defined() ? static_cast<T*>(t.data_ptr()) : nullptr;
}

void check_cpu(std::initializer_list<Tensor> tensors) {
  const Tensor& first = *tensors.begin();
  for (const Tensor& t : tensors) {
    TORCH_CHECK(t.device().is_cpu(), "expected a tensor on the CPU, got ", t.device());
    TORCH_CHECK(t.scalar_type() == first.scalar_type(), "expected ", first.scalar_type(), ", got ", t.scalar_type());
  }
}

// Rows a thread should get at least, so that tiny inputs stay on one.
int64_t grain(int64_t width) { return std::max<int64_t>(1, 16384 / std::max<int64_t>(width, 1)); }

// y = norm(a) or norm(a + b); returns {sum, y} with b, {y} without.
struct RmsNorm : public Function<RmsNorm> {
  static variable_list forward(AutogradContext* ctx, const Tensor& a_in, const std::optional<Tensor>& b_in, const Tensor& w_in, double eps) {
    bool has_b = b_in.has_value();
    Tensor a = a_in.contiguous(), b = has_b ? b_in->contiguous() : Tensor(), w = w_in.contiguous();
    check_cpu(has_b ? std::initializer_list<Tensor>{a, w, b} : std::initializer_list<Tensor>{a, w});
    int64_t width = a.size(-1), rows = a.numel() / std::max<int64_t>(width, 1);
    TORCH_CHECK(w.dim() == 1 && w.size(0) == width, "the norm's weight has ", w.numel(), " values, the input is ", width, " wide");
    TORCH_CHECK(!has_b || b.sizes() == a.sizes(), "the two inputs of the norm have shapes ", a.sizes(), " and ", b.sizes());
    Tensor sum = has_b ? at::empty_like(a) : a, y = at::empty_like(a), rstd = at::empty({rows}, a.options().dtype(at::kFloat));
    with_type(a, [&](auto* type) {
      at::parallel_for(0, rows, grain(width), [&](int64_t begin, int64_t end) {
        rows_of(type).rms_norm_forward(ptr(a, type), ptr(b, type), ptr(w, type), ptr(sum, type), ptr(y, type), rstd.data_ptr<float>(),
                                  static_cast<float>(eps), begin, end, width);
      });
    });
    // An input may be saved as such, a new tensor as an output: autograd tells them apart.
    ctx->save_for_backward({sum, w, rstd});
    ctx->saved_data["has_b"] = has_b;
    if (has_b) return {sum, y};
    return {y};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    bool has_b = ctx->saved_data["has_b"].toBool();
    const Tensor &x = saved[0], &w = saved[1], &rstd = saved[2];
    Tensor dsum = has_b && grads[0].defined() ? grads[0].contiguous() : Tensor();
    Tensor dy = grads[has_b ? 1 : 0];
    if (!dy.defined()) return {dsum, dsum, Tensor(), Tensor()};
    dy = dy.contiguous();
    int64_t width = x.size(-1), rows = rstd.size(0), step = grain(width);
    bool need_w = ctx->needs_input_grad(has_b ? 2 : 1);
    Tensor dx = at::empty_like(x);
    // One partial sum for each block of rows, added in order, so that the result does not depend on which thread was first.
    int64_t blocks = need_w ? std::min<int64_t>(at::get_num_threads(), std::max<int64_t>(1, rows / step)) : 0;
    Tensor partial = need_w ? at::zeros({blocks, width}, rstd.options()) : Tensor();
    with_type(x, [&](auto* type) {
      auto run = [&](float* dw, int64_t begin, int64_t end) {
        rows_of(type).rms_norm_backward(ptr(dy, type), ptr(dsum, type), ptr(x, type), ptr(w, type), rstd.data_ptr<float>(), ptr(dx, type), dw,
                                   begin, end, width);
      };
      if (!need_w) {
        at::parallel_for(0, rows, step, [&](int64_t begin, int64_t end) { run(nullptr, begin, end); });
        return;
      }
      at::parallel_for(0, blocks, 1, [&](int64_t first, int64_t last) {
        for (int64_t block = first; block < last; ++block)
          run(partial.data_ptr<float>() + block * width, rows * block / blocks, rows * (block + 1) / blocks);
      });
    });
    Tensor dw = need_w ? partial.sum(0).to(w.scalar_type()) : Tensor();
    return {dx, has_b ? dx : Tensor(), dw, Tensor()};
  }
};

struct SwiGlu : public Function<SwiGlu> {
  static Tensor forward(AutogradContext* ctx, const Tensor& input) {
    Tensor gate_up = input.contiguous();
    check_cpu({gate_up});
    int64_t width = gate_up.size(-1) / 2, rows = gate_up.numel() / std::max<int64_t>(2 * width, 1);
    TORCH_CHECK(gate_up.size(-1) % 2 == 0, "gate and up together are ", gate_up.size(-1), " wide, an odd number");
    auto size = gate_up.sizes().vec();
    size.back() = width;
    Tensor out = at::empty(size, gate_up.options());
    with_type(gate_up, [&](auto* type) {
      at::parallel_for(0, rows, grain(width),
                       [&](int64_t begin, int64_t end) { rows_of(type).swiglu_forward(ptr(gate_up, type), ptr(out, type), begin, end, width); });
    });
    ctx->save_for_backward({gate_up});
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    Tensor gate_up = ctx->get_saved_variables()[0], dout = grads[0].contiguous(), d = at::empty_like(gate_up);
    int64_t width = gate_up.size(-1) / 2, rows = gate_up.numel() / std::max<int64_t>(2 * width, 1);
    with_type(gate_up, [&](auto* type) {
      at::parallel_for(0, rows, grain(width), [&](int64_t begin, int64_t end) {
        rows_of(type).swiglu_backward(ptr(dout, type), ptr(gate_up, type), ptr(d, type), begin, end, width);
      });
    });
    return {d};
  }
};

// What splits and rotates [b, t, (heads + 2 groups) · e].
struct Heads {
  int64_t batch, time, heads, groups, half, angle_rows;
  int64_t all() const { return heads + 2 * groups; }
};

// Walks over all heads of all tokens: f(packed head, which of q k v, head in it, batch, time).
template <typename F>
void for_each_head(const Heads& n, F f) {
  at::parallel_for(0, n.batch * n.time, grain(n.all() * 2 * n.half), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t head = 0; head < n.all(); ++head) {
        int which = head < n.heads ? 0 : (head < n.heads + n.groups ? 1 : 2);
        f(row * n.all() + head, which, head - (which == 0 ? 0 : (which == 1 ? n.heads : n.heads + n.groups)), row / n.time, row % n.time);
      }
    }
  });
}

struct SplitRotate : public Function<SplitRotate> {
  static variable_list forward(AutogradContext* ctx, const Tensor& input, const Tensor& cos, const Tensor& sin, int64_t heads,
                               int64_t groups) {
    Tensor qkv = input.contiguous();
    check_cpu({qkv});
    TORCH_CHECK(qkv.dim() == 3, "query, key and value have ", qkv.dim(), " dimensions, expected 3");
    Heads n{qkv.size(0), qkv.size(1), heads, groups, cos.size(-1), cos.size(0)};
    TORCH_CHECK(qkv.size(2) == n.all() * 2 * n.half, "query, key and value are ", qkv.size(2), " wide, expected ", n.all() * 2 * n.half);
    TORCH_CHECK(cos.sizes() == sin.sizes() && cos.dim() == 2 && cos.is_contiguous() && sin.is_contiguous() &&
                    cos.scalar_type() == at::kFloat && sin.scalar_type() == at::kFloat,
                "the angles must be two contiguous float matrices");
    TORCH_CHECK(n.angle_rows == n.time || n.angle_rows == n.batch * n.time, "there are ", n.angle_rows, " angles for ", n.batch, " rows of ",
                n.time);
    auto make = [&](int64_t count) { return at::empty({n.batch, count, n.time, 2 * n.half}, qkv.options()); };
    Tensor out[3] = {make(heads), make(groups), make(groups)};
    int64_t counts[3] = {heads, groups, groups}, width = 2 * n.half;
    with_type(qkv, [&](auto* type) {
      for_each_head(n, [&](int64_t packed, int which, int64_t head, int64_t b, int64_t t) {
        const auto* x = ptr(qkv, type) + packed * width;
        auto* y = ptr(out[which], type) + ((b * counts[which] + head) * n.time + t) * width;
        int64_t row = n.angle_rows == n.time ? t : b * n.time + t;
        if (which == 2) {
          memcpy(y, x, width * sizeof(*y));
        } else {
          rows_of(type).rotate_head(x, y, cos.data_ptr<float>() + row * n.half, sin.data_ptr<float>() + row * n.half, 1.0f, n.half);
        }
      });
    });
    ctx->saved_data["sizes"] = std::vector<int64_t>{n.batch, n.time, n.heads, n.groups, n.half, n.angle_rows};
    ctx->saved_data["cos"] = cos;
    ctx->saved_data["sin"] = sin;
    return {out[0], out[1], out[2]};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    auto s = ctx->saved_data["sizes"].toIntVector();
    Heads n{s[0], s[1], s[2], s[3], s[4], s[5]};
    Tensor cos = ctx->saved_data["cos"].toTensor(), sin = ctx->saved_data["sin"].toTensor();
    int64_t width = 2 * n.half;
    TORCH_CHECK(grads[0].defined() && grads[1].defined() && grads[2].defined(), "query, key and value must all be used");
    // Attention gives gradients in the memory order [b, t, h, e]; any order with whole heads is read as it lies.
    Tensor g[3];
    for (int i = 0; i < 3; ++i) g[i] = grads[i].stride(3) == 1 || width == 1 ? grads[i] : grads[i].contiguous();
    Tensor d = at::empty({n.batch, n.time, n.all() * width}, g[0].options());
    with_type(d, [&](auto* type) {
      for_each_head(n, [&](int64_t packed, int which, int64_t head, int64_t b, int64_t t) {
        const Tensor& from = g[which];
        const auto* x = ptr(from, type) + b * from.stride(0) + head * from.stride(1) + t * from.stride(2);
        auto* y = ptr(d, type) + packed * width;
        int64_t row = n.angle_rows == n.time ? t : b * n.time + t;
        if (which == 2) {
          memcpy(y, x, width * sizeof(*y));
        } else {
          rows_of(type).rotate_head(x, y, cos.data_ptr<float>() + row * n.half, sin.data_ptr<float>() + row * n.half, -1.0f, n.half);
        }
      });
    });
    return {d, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

// Loss rows of one chunk; the logits (f32, or bf16 on the CPU) become their gradient.
Tensor cross_entropy_chunk(Tensor& logits, const Tensor& targets, int64_t ignore, bool gradient) {
  int64_t rows = logits.size(0), width = logits.size(1);
  if (logits.device().is_cpu()) {
    Tensor loss = at::empty({rows}, logits.options().dtype(at::kFloat));
    with_type(logits, [&](auto* type) {
      at::parallel_for(0, rows, grain(width), [&](int64_t begin, int64_t end) {
        rows_of(type).cross_entropy_rows(ptr(logits, type), targets.data_ptr<int64_t>(), loss.data_ptr<float>(), ignore, gradient, begin, end,
                                         width);
      });
    });
    return loss;
  }
  Tensor kept = targets.ne(ignore), index = targets.clamp_min(0).unsqueeze(1);
  Tensor lse = logits.logsumexp(1, /*keepdim=*/true);
  Tensor loss = lse.sub(logits.gather(1, index)).squeeze(1).mul(kept);
  if (gradient) {
    logits.sub_(lse).exp_();
    logits.scatter_add_(1, index, at::full_like(index, -1, logits.options()));
    logits.mul_(kept.unsqueeze(1));
  }
  return loss;
}

// The sum of cross-entropies of linear(h, w) against targets. The gradients are found in the forward pass, chunk by
// chunk, and only scaled in the backward pass, so that logits of more than `rows` tokens are never held.
struct LinearCrossEntropy : public Function<LinearCrossEntropy> {
  static Tensor forward(AutogradContext* ctx, const Tensor& h_in, const Tensor& w_in, const Tensor& targets_in, int64_t ignore, int64_t rows,
                        bool gradient) {
    Tensor h = h_in.contiguous(), w = w_in.contiguous(), targets = targets_in.contiguous();
    TORCH_CHECK(h.dim() == 2 && w.dim() == 2 && h.size(1) == w.size(1), "hidden states ", h.sizes(), " do not fit the output matrix ", w.sizes());
    TORCH_CHECK(targets.dim() == 1 && targets.size(0) == h.size(0) && targets.scalar_type() == at::kLong, "expected ", h.size(0),
                " targets as int64, got ", targets.sizes(), " as ", targets.scalar_type());
    int64_t count = h.size(0), vocabulary = w.size(0);
    if (h.device().is_cpu() && count > 0) {
      // The CPU loop indexes with targets, so they are checked; a GPU's gather checks its own.
      Tensor wrong = targets.ne(ignore).logical_and(targets.lt(0).logical_or(targets.ge(vocabulary)));
      TORCH_CHECK(!wrong.any().item<bool>(), "a target is outside the vocabulary of ", vocabulary);
    }
    bool need_h = gradient && h_in.requires_grad(), need_w = gradient && w_in.requires_grad();
    bool one_chunk = count <= rows;
    Tensor dh = need_h ? at::empty_like(h) : Tensor(), dw;
    std::vector<Tensor> losses;
    for (int64_t start = 0; start < count; start += rows) {
      int64_t size = std::min(rows, count - start);
      Tensor hc = h.narrow(0, start, size);
      Tensor logits = at::mm(hc, w.t());
      // The product is rounded to bf16 anyway; the loop on the CPU computes in f32 from there.
      if (!h.device().is_cpu() || logits.scalar_type() != at::kBFloat16) logits = logits.to(at::kFloat);
      losses.push_back(cross_entropy_chunk(logits, targets.narrow(0, start, size), ignore, need_h || need_w));
      if (!need_h && !need_w) continue;
      Tensor dlogits = logits.to(h.scalar_type());
      if (need_h) {
        Tensor out = dh.narrow(0, start, size);
        at::mm_out(out, dlogits, w);
      }
      if (need_w) {
        Tensor part = at::mm(dlogits.t(), hc);
        // Chunks are summed in f32; a single one keeps its type.
        if (!dw.defined()) dw = one_chunk ? part : part.to(at::kFloat);
        // ATen would make a copy of the part in f32 first.
        else if (dw.device().is_cpu()) add_in_f32(dw, part.contiguous(), dw);
        else dw.add_(part);
      }
    }
    if (need_h) ctx->saved_data["dh"] = dh;
    if (need_w) ctx->saved_data["dw"] = dw.defined() ? dw.to(w.scalar_type()) : at::zeros_like(w);
    if (losses.empty()) return at::zeros({}, h.options().dtype(at::kFloat));
    return at::cat(losses).sum(at::kDouble).to(at::kFloat);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    // In place, since they are as large as the weights; a second backward pass would need them as they were.
    TORCH_CHECK(ctx->saved_data.emplace("used", true).second, "the gradients of this loss were taken before");
    auto scaled = [&](const char* name) {
      auto found = ctx->saved_data.find(name);
      return found == ctx->saved_data.end() ? Tensor() : found->second.toTensor().mul_(grads[0]);
    };
    return {scaled("dh"), scaled("dw"), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

char* jl_rms_norm(tensor x, tensor weight, double eps, tensor* normed) {
  return jl_guard([&] { *normed = new Tensor(RmsNorm::apply(*x, std::optional<Tensor>(), *weight, eps)[0]); });
}

char* jl_add_rms_norm(tensor x, tensor delta, tensor weight, double eps, tensor* sum, tensor* normed) {
  return jl_guard([&] {
    auto out = RmsNorm::apply(*x, std::optional<Tensor>(*delta), *weight, eps);
    *sum = new Tensor(out[0]);
    *normed = new Tensor(out[1]);
  });
}

char* jl_swiglu(tensor gate_up, tensor* out) {
  return jl_guard([&] { *out = new Tensor(SwiGlu::apply(*gate_up)); });
}

char* jl_split_rotate(tensor qkv, tensor cos, tensor sin, int64_t heads, int64_t groups, tensor* out) {
  return jl_guard([&] {
    auto parts = SplitRotate::apply(*qkv, *cos, *sin, heads, groups);
    for (int i = 0; i < 3; ++i) out[i] = new Tensor(parts[i]);
  });
}

char* jl_linear_cross_entropy(tensor hidden, tensor weight, tensor targets, int64_t ignore, int64_t rows, tensor* sum) {
  return jl_guard([&] {
    TORCH_CHECK(rows > 0, "rows must be positive");
    *sum = new Tensor(LinearCrossEntropy::apply(*hidden, *weight, *targets, ignore, rows, at::GradMode::is_enabled()));
  });
}
