// The optimizer's passes over memory on the CPU; see shim.h for the conventions.
#pragma once
#include "shim.h"

// sum = a + b of contiguous gradients on the CPU, f32 or bf16; `sum` is f32, and may be `a`.
void add_in_f32(const at::Tensor& a, const at::Tensor& b, const at::Tensor& sum);

extern "C" {
char* jl_grad_norm(const tensor* grads, size_t count, double* norm);
// The sum in f32, in the memory of `sum` where that is f32.
char* jl_grad_add(tensor sum, tensor grad, tensor* out);
char* jl_adamw(tensor weight, tensor grad, tensor first, tensor second, tensor copy /* or null */, double step, double lr, double beta1,
               double beta2, double weight_decay, double eps, double grad_scale);
}
