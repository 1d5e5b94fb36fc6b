#!/usr/bin/env python3
"""Makes fixtures/golden/model: what PyTorch and transformers compute for tiny models, for Rust tests to compare with.

usage: make_golden.py [OUT=fixtures/golden/model]

Needs torch 2.11, transformers 5, peft and safetensors; only developers run it, tests read what it left.
Everything is float32 and seeded. For each model there are
  config.json, model.safetensors      as transformers writes them
  golden.safetensors                  ids, targets, logits, loss,
                                      starts and greedy: two prompts and 64 tokens after each, end tokens not obeyed,
                                      grad.*: gradients of the mean loss (all but the models that differ in rotation only),
                                      step.*: change of weights in one AdamW step (first three models),
                                      prompts, answers: 32 tokens of greedy continuation (first three models)
  adapter/, adapter_golden.safetensors  (one model) a PEFT LoRA with random B, and the logits with it

With dynamic scaling a longer sequence changes what its earlier tokens give, and a cache of keys keeps old values: there
greedy tokens are made without one.
"""
import json
import shutil
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

WIDE = dict(hidden_size=32, intermediate_size=48, max_position_embeddings=128)
SMALL = dict(hidden_size=16, intermediate_size=24, max_position_embeddings=128, num_attention_heads=2, num_key_value_heads=1)


def scaled(**rope):
    return dict(SMALL, head_dim=16, rope_parameters=dict(rope_theta=10000.0, **rope))


# The first three: every second choice differs, so that each is tested both ways. Their rows are 24 tokens, the others' 40.
FULL = ["tied", "gqa", "wide_heads"]
MODELS = {
    "gqa": ("llama", 11, dict(WIDE, tie_word_embeddings=False, num_attention_heads=4, num_key_value_heads=2, rope_theta=500000.0)),
    "tied": ("llama", 12, dict(WIDE, tie_word_embeddings=True, num_attention_heads=2, num_key_value_heads=2, rope_theta=10000.0)),
    "wide_heads": ("llama", 13, dict(WIDE, tie_word_embeddings=True, num_attention_heads=2, num_key_value_heads=1, head_dim=32, rope_theta=10000.0)),
    "biases": ("llama", 21, dict(SMALL, tie_word_embeddings=True, attention_bias=True, mlp_bias=True)),
    "llama3": ("llama", 22, dict(
        scaled(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32),
        tie_word_embeddings=False)),
    "linear": ("llama", 23, dict(scaled(rope_type="linear", factor=4.0), tie_word_embeddings=True)),
    # Beyond the original 24 tokens both in the rows and in the continuations.
    "dynamic": ("llama", 24, dict(scaled(rope_type="dynamic", factor=4.0), max_position_embeddings=24, tie_word_embeddings=True)),
    "yarn": ("llama", 25, dict(scaled(rope_type="yarn", factor=4.0, original_max_position_embeddings=32, beta_fast=4.0), tie_word_embeddings=True)),
    "qwen2": ("qwen2", 26, dict(SMALL, tie_word_embeddings=True)),
    "qwen2_window": ("qwen2", 27, dict(SMALL, tie_word_embeddings=False, use_sliding_window=True, sliding_window=6, max_window_layers=1)),
    "qwen3": ("qwen3", 28, dict(SMALL, head_dim=12, tie_word_embeddings=True)),
    "mistral": ("mistral", 29, dict(SMALL, head_dim=16, tie_word_embeddings=False, sliding_window=7)),
}
SCALING_ONLY = ["llama3", "linear", "dynamic", "yarn"]
ADAMW = dict(lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)


def make_model(name):
    model_type, seed, options = MODELS[name]
    config = AutoConfig.for_model(
        model_type, vocab_size=64, num_hidden_layers=2, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        attn_implementation="eager", **options,
    )
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).float().eval()
    # Larger than at the start of training, so that a mistake shows; norms away from 1 and biases from 0 for the same reason.
    size = 0.15 if name in FULL else 0.3
    with torch.no_grad():
        for key, weight in model.named_parameters():
            weight.copy_(1 + 0.2 * torch.randn_like(weight) if "norm" in key else size * torch.randn_like(weight))
    return model


def greedy(model, prompt, count, **options):
    return model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=count, do_sample=False, **options)[0, prompt.shape[1] :]


def golden(name, model):
    out = {}
    rows, time = (3, 24) if name in FULL else (2, 40)
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(3, 64, (rows, time), generator=generator)
    targets = torch.randint(3, 64, (rows, time), generator=generator)
    targets[0, :7] = -100
    targets[rows - 1, 20:24] = -100
    out["ids"], out["targets"] = ids, targets
    logits = model(ids).logits
    out["logits"] = logits.detach()
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, 64), targets.reshape(-1), ignore_index=-100)
    out["loss"] = loss.detach()
    model.zero_grad()
    loss.backward()
    if name not in SCALING_ONLY:
        for key, weight in model.named_parameters():
            out["grad." + key] = weight.grad.clone()
    if name in FULL:
        out.update(step_and_answers(model, generator))
    starts, continuations = torch.full((2, 20), -1), torch.full((2, 64), -1)
    ends, model.generation_config.eos_token_id = model.generation_config.eos_token_id, None
    for row, length in enumerate([5, 20]):
        is_clear = False
        while not is_clear:
            prompt = torch.randint(3, 64, (1, length), generator=generator)
            starts[row, :length] = prompt
            continuations[row] = greedy(model, prompt, 64, use_cache=name != "dynamic")
            is_clear = has_margins(model, torch.cat([prompt[0], continuations[row]]), length)
    model.generation_config.eos_token_id = ends
    out["starts"], out["greedy"] = starts, continuations
    return {key: value.contiguous() for key, value in out.items()}


def has_margins(model, tokens, start):
    """Whether no two tokens are so near that rounding could decide between them."""
    for end in range(start, len(tokens)):
        with torch.no_grad():
            best = model(tokens[None, :end], use_cache=False).logits[0, -1].topk(2)
        if best.values[0] - best.values[1] < 1e-3:
            return False
        assert best.indices[0] == tokens[end], (end, "the cache of transformers gives another token")
    return True


def step_and_answers(model, generator):
    out = {}
    before = {key: weight.detach().clone() for key, weight in model.named_parameters()}
    groups = [
        dict(params=[w for w in model.parameters() if w.dim() >= 2], weight_decay=ADAMW["weight_decay"]),
        dict(params=[w for w in model.parameters() if w.dim() < 2], weight_decay=0.0),
    ]
    torch.optim.AdamW(groups, fused=True, **ADAMW).step()
    for key, weight in model.named_parameters():
        # Stored as the change, which is what can be wrong.
        out["step." + key] = weight.detach() - before[key]
    with torch.no_grad():
        for key, weight in model.named_parameters():
            weight.copy_(before[key])
    lengths = [5, 9, 1]
    prompts = torch.full((3, 9), -1)
    answers = torch.full((3, 32), -1)
    for row, length in enumerate(lengths):
        prompt = torch.randint(3, 64, (1, length), generator=generator)
        prompts[row, :length] = prompt
        made = greedy(model, prompt, 32)
        answers[row, : len(made)] = made
    out["prompts"], out["answers"] = prompts, answers
    return out


def main():
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "fixtures/golden/model")
    torch.set_num_threads(1)
    if out.exists():
        shutil.rmtree(out)
    for name in MODELS:
        target = out / name
        model = make_model(name)
        model.save_pretrained(target)
        values = golden(name, model)
        save_file(values, target / "golden.safetensors", metadata={"format": "pt"})
        if name != "gqa":
            continue
        lora = LoraConfig(r=3, lora_alpha=6, target_modules=["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"], task_type="CAUSAL_LM")
        wrapped = get_peft_model(model, lora).eval()
        with torch.no_grad():
            for key, weight in wrapped.named_parameters():
                if "lora_B" in key:
                    weight.copy_(0.3 * torch.randn_like(weight))
            logits = wrapped(values["ids"]).logits
        wrapped.save_pretrained(target / "adapter")
        (target / "adapter" / "README.md").unlink(missing_ok=True)
        path = target / "adapter" / "adapter_config.json"
        config = json.loads(path.read_text())
        config["target_modules"] = sorted(config["target_modules"])
        config["base_model_name_or_path"] = None
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        save_file({"logits": logits.detach().contiguous()}, target / "adapter_golden.safetensors", metadata={"format": "pt"})
    for file in sorted(out.rglob("*")):
        if file.is_file():
            print(f"{file.stat().st_size:>8} {file}")


main()
