#!/usr/bin/env python3
"""Makes fixtures/golden/model: what PyTorch and transformers compute for tiny Llama models, for Rust tests to compare with.

usage: make_golden.py [OUT=fixtures/golden/model]

Needs torch 2.11, transformers, peft and safetensors; only developers run it, tests read what it left.
Everything is float32 and seeded. For each model there are
  config.json, model.safetensors      as transformers writes them
  golden.safetensors                  ids, targets, logits, loss, gradients of the mean loss, weights after one AdamW step,
                                      32 tokens of greedy continuation (padded batch) and its prompts
  adapter/, adapter_golden.safetensors  (one model) a PEFT LoRA with random B, and the logits with it
"""
import json
import shutil
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

MODELS = {
    # Every second choice differs, so that each is tested both ways.
    "tied": dict(tie_word_embeddings=True, num_attention_heads=2, num_key_value_heads=2, rope_theta=10000.0),
    "gqa": dict(tie_word_embeddings=False, num_attention_heads=4, num_key_value_heads=2, rope_theta=500000.0),
    "wide_heads": dict(tie_word_embeddings=True, num_attention_heads=2, num_key_value_heads=1, head_dim=32, rope_theta=10000.0),
}
ADAMW = dict(lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)


def make_model(name, options):
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, max_position_embeddings=128,
        rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, pad_token_id=0, attn_implementation="eager", **options,
    )
    torch.manual_seed(sorted(MODELS).index(name) + 11)
    model = LlamaForCausalLM(config).float().eval()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            # Larger than at the start of training, so that a mistake shows; norms away from 1 for the same reason.
            weight.copy_(1 + 0.2 * torch.randn_like(weight) if "norm" in key else 0.15 * torch.randn_like(weight))
    return model


def golden(model):
    out = {}
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(3, 64, (3, 24), generator=generator)
    targets = torch.randint(3, 64, (3, 24), generator=generator)
    targets[0, :7] = -100
    targets[2, 20:] = -100
    out["ids"], out["targets"] = ids, targets
    logits = model(ids).logits
    out["logits"] = logits.detach()
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, 64), targets.reshape(-1), ignore_index=-100)
    out["loss"] = loss.detach()
    model.zero_grad()
    loss.backward()
    before = {key: weight.detach().clone() for key, weight in model.named_parameters()}
    for key, weight in model.named_parameters():
        out["grad." + key] = weight.grad.clone()
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
        made = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=32, do_sample=False)
        answers[row, : made.shape[1] - length] = made[0, length:]
    out["prompts"], out["answers"] = prompts, answers
    return {key: value.contiguous() for key, value in out.items()}


def main():
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "fixtures/golden/model")
    torch.set_num_threads(1)
    if out.exists():
        shutil.rmtree(out)
    for name, options in MODELS.items():
        target = out / name
        model = make_model(name, options)
        model.save_pretrained(target)
        values = golden(model)
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
