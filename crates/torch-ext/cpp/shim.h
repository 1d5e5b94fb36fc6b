// The C surface of torch-ext. A `tensor` is the torch::Tensor* that torch-sys calls C_tensor*.
// Every function that can fail returns nullptr, or a message from malloc that the caller gives to jl_free.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Single headers instead of <torch/torch.h>: a third of the time to compile.
#include <ATen/core/Tensor.h>
#include <string.h>

typedef at::Tensor* tensor;

extern "C" {
void jl_free(char* message);

// Optimizer and lists of tensors.
char* jl_fused_adamw(const tensor* params, const tensor* grads, const tensor* exp_avgs, const tensor* exp_avg_sqs, size_t count,
                     tensor step, double lr, double beta1, double beta2, double weight_decay, double eps, tensor grad_scale,
                     tensor found_inf);
char* jl_foreach_norm(const tensor* tensors, size_t count, tensor* total);
char* jl_foreach_mul_scalar(const tensor* tensors, size_t count, double factor);
char* jl_foreach_mul_tensor(const tensor* tensors, size_t count, tensor factor);
char* jl_foreach_copy(const tensor* targets, const tensor* sources, size_t count);
char* jl_foreach_add(const tensor* targets, const tensor* sources, size_t count, double alpha);
char* jl_foreach_zero(const tensor* tensors, size_t count);

// Random state of the CPU generator, as a byte tensor.
char* jl_rng_get(tensor* state);
char* jl_rng_set(tensor state);

// Switches of the whole process.
char* jl_set_deterministic(int on);
int jl_set_flush_denormal(int on);
void jl_keep_memory();
char* jl_peak_device_memory(int64_t device, int64_t* bytes);
const char* jl_version();
int jl_load_cuda(char** message);
int jl_has_cpu_feature(const char* name);
}

// Runs `body`; an exception becomes a message.
template <typename F>
char* jl_guard(F body) {
  try {
    body();
    return nullptr;
  } catch (const c10::Error& error) {
    return strdup(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an unknown C++ exception");
  }
}
