// What tch leaves out of libtorch: see src/ for the documented Rust functions, one file a topic.
#include "shim.h"

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/cpu/Utils.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_zero.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <dlfcn.h>
#include <torch/version.h>
#ifdef __linux__
#include <malloc.h>
#endif

namespace {

std::vector<at::Tensor> list(const tensor* tensors, size_t count) {
  std::vector<at::Tensor> out;
  out.reserve(count);
  for (size_t i = 0; i < count; ++i) out.push_back(*tensors[i]);
  return out;
}

std::optional<at::Tensor> optional(tensor t) {
  return t == nullptr ? std::nullopt : std::optional<at::Tensor>(*t);
}

}  // namespace

void jl_free(char* message) { free(message); }

char* jl_fused_adamw(const tensor* params, const tensor* grads, const tensor* exp_avgs, const tensor* exp_avg_sqs, size_t count,
                     tensor step, double lr, double beta1, double beta2, double weight_decay, double eps, tensor grad_scale,
                     tensor found_inf) {
  return jl_guard([&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> steps(count, *step);
    at::_fused_adamw_(list(params, count), list(grads, count), list(exp_avgs, count), list(exp_avg_sqs, count), {}, steps, lr, beta1,
                      beta2, weight_decay, eps, /*amsgrad=*/false, /*maximize=*/false, optional(grad_scale), optional(found_inf));
  });
}

char* jl_foreach_norm(const tensor* tensors, size_t count, tensor* total) {
  return jl_guard([&] {
    at::NoGradGuard no_grad;
    auto norms = at::_foreach_norm(list(tensors, count), 2, at::kFloat);
    *total = new at::Tensor(at::linalg_vector_norm(at::stack(norms)));
  });
}

char* jl_foreach_mul_scalar(const tensor* tensors, size_t count, double factor) {
  return jl_guard([&] {
    at::NoGradGuard no_grad;
    at::_foreach_mul_(list(tensors, count), factor);
  });
}

char* jl_foreach_mul_tensor(const tensor* tensors, size_t count, tensor factor) {
  return jl_guard([&] {
    at::NoGradGuard no_grad;
    at::_foreach_mul_(list(tensors, count), *factor);
  });
}

char* jl_foreach_copy(const tensor* targets, const tensor* sources, size_t count) {
  return jl_guard([&] {
    at::NoGradGuard no_grad;
    at::_foreach_copy_(list(targets, count), list(sources, count));
  });
}

char* jl_foreach_add(const tensor* targets, const tensor* sources, size_t count, double alpha) {
  return jl_guard([&] {
    at::NoGradGuard no_grad;
    at::_foreach_add_(list(targets, count), list(sources, count), alpha);
  });
}

char* jl_foreach_zero(const tensor* tensors, size_t count) {
  return jl_guard([&] {
    at::NoGradGuard no_grad;
    at::_foreach_zero_(list(tensors, count));
  });
}

char* jl_rng_get(tensor* state) {
  return jl_guard([&] {
    auto generator = at::globalContext().defaultGenerator(at::kCPU);
    std::lock_guard<std::mutex> lock(generator.mutex());
    *state = new at::Tensor(generator.get_state());
  });
}

char* jl_rng_set(tensor state) {
  return jl_guard([&] {
    auto generator = at::globalContext().defaultGenerator(at::kCPU);
    std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(*state);
  });
}

char* jl_set_deterministic(int on) {
  return jl_guard([&] { at::globalContext().setDeterministicAlgorithms(on != 0, /*warn_only=*/false); });
}

int jl_set_flush_denormal(int on) { return at::Context::setFlushDenormal(on != 0); }

const char* jl_version() { return TORCH_VERSION; }

void jl_keep_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the most that glibc takes
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

char* jl_peak_device_memory(int64_t device, int64_t* bytes) {
  return jl_guard([&] {
    auto stats = at::getDeviceAllocator(at::kCUDA)->getDeviceStats(static_cast<c10::DeviceIndex>(device));
    *bytes = stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak;
  });
}

int jl_load_cuda(char** message) {
  // From this object, so that the executable's RUNPATH and LD_LIBRARY_PATH are searched.
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr) return 1;
  const char* text = dlerror();
  *message = strdup(text == nullptr ? "libtorch_cuda.so could not be loaded" : text);
  return 0;
}

int jl_has_cpu_feature(const char* name) {
  try {
    auto all = at::cpu::get_cpu_capabilities();
    auto found = all.find(name);
    return found != all.end() && found->second.isBool() && found->second.toBool();
  } catch (...) {
    return 0;
  }
}
