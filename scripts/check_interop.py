#!/usr/bin/env python3
"""Opens one of our model directories with transformers, and compares logits with those our code wrote.

usage: check_interop.py MODEL_DIR [DUMP.safetensors] [--adapter PEFT_DIR]

DUMP holds `ids` and `logits` as `cargo run --release -p model --example dump_logits MODEL_DIR DUMP [PEFT_DIR]` writes them.
Needs torch, transformers, safetensors (and peft for --adapter); only developers run it.
Exits with 1 where logits differ by 1e-4 or more.
"""
import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_dir")
    parser.add_argument("dump", nargs="?")
    parser.add_argument("--adapter")
    args = parser.parse_args()
    model = AutoModelForCausalLM.from_pretrained(args.model_dir, dtype=torch.float32).eval()
    print(f"{type(model).__name__}: {sum(p.numel() for p in model.parameters()):,} parameters, rope_theta {model.config.rope_parameters['rope_theta']}")
    if (Path(args.model_dir) / "tokenizer.json").exists():
        tokenizer = AutoTokenizer.from_pretrained(args.model_dir)
        text = "The highest mountain in China is Mount Everest. 中国最高的山是珠穆朗玛峰。"
        ids = tokenizer(text)["input_ids"]
        print(f"{type(tokenizer).__name__}: {len(ids)} tokens, round trip {'equal' if tokenizer.decode(ids) == text else repr(tokenizer.decode(ids))}")
    if args.adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, args.adapter).eval()
        print("adapter:", model.peft_config["default"].target_modules)
    if args.dump:
        dump = load_file(args.dump)
        with torch.no_grad():
            logits = model(dump["ids"]).logits
        difference = (logits - dump["logits"]).abs().max().item()
        print(f"logits {tuple(logits.shape)}: largest difference {difference:.2e}, largest value {logits.abs().max().item():.2f}")
        sys.exit(0 if difference < 1e-4 else 1)
    with torch.no_grad():
        logits = model(torch.arange(1, 9).unsqueeze(0)).logits
    print("logits after tokens 1..8, first eight:", [round(x, 4) for x in logits[0, -1, :8].tolist()])


main()
