// Fused operations with backward passes; see shim.h for the conventions.
#pragma once
#include "shim.h"

extern "C" {
char* jl_rms_norm(tensor x, tensor weight, double eps, tensor* normed);
char* jl_add_rms_norm(tensor x, tensor delta, tensor weight, double eps, tensor* sum, tensor* normed);
char* jl_swiglu(tensor gate_up, tensor* out);
char* jl_split_rotate(tensor qkv, tensor cos, tensor sin, int64_t heads, int64_t groups, tensor* out /* q, k, v */);
int jl_has_block_attention();
char* jl_causal_attention(tensor q, tensor k, tensor v, tensor mask /* or null */, tensor* out);
char* jl_linear_cross_entropy(tensor hidden, tensor weight, tensor targets, int64_t ignore, int64_t rows, tensor* sum);
}
