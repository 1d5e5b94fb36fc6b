// The optimizer's passes over memory on the CPU: gradients stay in the type that the backward pass gave them, and working copies are
// written with the weights. libtorch's do one thing at a time, and mixed types by way of copies. See src/optim.rs for the meaning.
#include "optim.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "kernels.h"

namespace {

// Values that a thread gets at a time. Sums are taken of each and then in order, whichever thread was first.
constexpr int64_t BLOCK = 1 << 16;

// Calls f with the loops for gradients of the type of `t`, and its values.
template <typename F>
void with_loops(const at::Tensor& t, F f) {
  TORCH_CHECK(t.device().is_cpu() && t.is_contiguous(), "expected a contiguous tensor on the CPU");
  if (t.scalar_type() == at::kFloat) {
    f(kernels().grad_f32, static_cast<const float*>(t.data_ptr()));
  } else if (t.scalar_type() == at::kBFloat16) {
    f(kernels().grad_bf16, static_cast<const bf16_t*>(t.data_ptr()));
  } else {
    TORCH_CHECK(false, "expected float or bfloat16, got ", t.scalar_type());
  }
}

float* floats(const at::Tensor& t) { return t.data_ptr<float>(); }

}  // namespace

void add_in_f32(const at::Tensor& a, const at::Tensor& b, const at::Tensor& sum) {
  TORCH_CHECK(a.sizes() == b.sizes(), "gradients of shapes ", a.sizes(), " and ", b.sizes());
  with_loops(a, [&](auto& loops, auto* one) {
    with_loops(b, [&](auto&, auto* other) {
      at::parallel_for(0, a.numel(), BLOCK, [&](int64_t begin, int64_t end) {
        if constexpr (std::is_same_v<decltype(other), const float*>) {
          loops.add(one + begin, other + begin, floats(sum) + begin, end - begin);
        } else {
          loops.add_bf16(one + begin, other + begin, floats(sum) + begin, end - begin);
        }
      });
    });
  });
}

char* jl_grad_norm(const tensor* grads, size_t count, double* norm) {
  return jl_guard([&] {
    double sum = 0.0;
    for (size_t i = 0; i < count; ++i) {
      with_loops(*grads[i], [&](auto& loops, auto* grad) {
        int64_t total = grads[i]->numel();
        std::vector<double> parts((total + BLOCK - 1) / BLOCK);
        at::parallel_for(0, static_cast<int64_t>(parts.size()), 1, [&](int64_t begin, int64_t end) {
          for (int64_t part = begin; part < end; ++part)
            parts[part] = loops.squares(grad + part * BLOCK, std::min(BLOCK, total - part * BLOCK));
        });
        for (double part : parts) sum += part;
      });
    }
    *norm = std::sqrt(sum);
  });
}

char* jl_grad_add(tensor sum, tensor grad, tensor* out) {
  return jl_guard([&] {
    at::Tensor result = sum->scalar_type() == at::kFloat ? *sum : at::empty_like(*sum, sum->options().dtype(at::kFloat));
    add_in_f32(*sum, *grad, result);
    *out = new at::Tensor(result);
  });
}

char* jl_adamw(tensor weight, tensor grad, tensor first, tensor second, tensor copy, double step, double lr, double beta1, double beta2,
               double weight_decay, double eps, double grad_scale) {
  return jl_guard([&] {
    AdamStep s{};
    s.decay = static_cast<float>(1.0 - lr * weight_decay);
    s.beta1_rest = static_cast<float>(1.0 - beta1);
    s.beta2 = static_cast<float>(beta2);
    s.beta2_rest = static_cast<float>(1.0 - beta2);
    s.rate = static_cast<float>(lr / (1.0 - std::pow(beta1, step)));
    s.root_scale = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(beta2, step)));
    s.eps = static_cast<float>(eps);
    s.grad_scale = static_cast<float>(1.0 / grad_scale);
    bf16_t* copied = copy == nullptr ? nullptr : static_cast<bf16_t*>(copy->data_ptr());
    with_loops(*grad, [&](auto& loops, auto* g) {
      at::parallel_for(0, weight->numel(), BLOCK, [&](int64_t begin, int64_t end) {
        loops.adamw(floats(*weight) + begin, g + begin, floats(*first) + begin, floats(*second) + begin,
                    copied == nullptr ? nullptr : copied + begin, end - begin, s);
      });
    });
  });
}
