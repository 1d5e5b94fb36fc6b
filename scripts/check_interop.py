#!/usr/bin/env python3
"""Opens one of our model directories with transformers, and compares logits with those our code wrote.

usage: check_interop.py MODEL_DIR [DUMP.safetensors] [--adapter PEFT_DIR]
       check_interop.py --family DIR

DUMP holds `ids` and `logits` as `cargo run --release -p model --example dump_logits MODEL_DIR DUMP [PEFT_DIR]` writes them,
DIR a model and a dump for each layout as `... --example dump_logits family DIR` does.
Needs torch, transformers, safetensors (and peft for --adapter); only developers run it. With version 4.46 of transformers,
--family reports what that version does not know.
Exits with 1 where logits differ by 1e-4 or more.
"""
import argparse
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

IS_OLD = int(transformers.__version__.split(".")[0]) < 5
# What version 4.46 has no code for (see crates/model/src/hf.rs).
NOT_IN_OLD = ["qwen3", "window_some_layers", "yarn_other_length", "mistral_window_linear"]


def open_model(path):
    options = {"torch_dtype" if IS_OLD else "dtype": torch.float32}
    return AutoModelForCausalLM.from_pretrained(path, attn_implementation="eager", **options).eval()


def compare(model, dump):
    dump = load_file(dump)
    with torch.no_grad():
        logits = model(dump["ids"]).logits
    return logits, (logits - dump["logits"]).abs().max().item()


def check_family(folder):
    """Every layout in a folder; returns whether all agree."""
    good = True
    for path in sorted(Path(folder).iterdir()):
        unknown = IS_OLD and any(part in path.name for part in NOT_IN_OLD)
        try:
            model = open_model(path / "model")
            logits, difference = compare(model, path / "dump.safetensors")
            result = f"{type(model).__name__:<20} largest difference {difference:.2e}, largest value {logits.abs().max().item():.2f}"
            agrees = difference < 1e-4
        except (ValueError, KeyError) as error:
            result, agrees = str(error).splitlines()[0][:80], False
        print(f"{path.name:<26} {'ok' if agrees else 'not in this version' if unknown else 'DIFFERS'}: {result}")
        good = good and (agrees or unknown)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_dir", nargs="?")
    parser.add_argument("dump", nargs="?")
    parser.add_argument("--adapter")
    parser.add_argument("--family")
    args = parser.parse_args()
    if args.family:
        sys.exit(0 if check_family(args.family) else 1)
    if not args.model_dir:
        parser.error("a model directory or --family is needed")
    model = open_model(args.model_dir)
    rope = {"rope_theta": model.config.rope_theta} if IS_OLD else model.config.rope_parameters
    print(f"{type(model).__name__}: {sum(p.numel() for p in model.parameters()):,} parameters, {rope}")
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
        logits, difference = compare(model, args.dump)
        print(f"logits {tuple(logits.shape)}: largest difference {difference:.2e}, largest value {logits.abs().max().item():.2f}")
        sys.exit(0 if difference < 1e-4 else 1)
    with torch.no_grad():
        logits = model(torch.arange(1, 9).unsqueeze(0)).logits
    print("logits after tokens 1..8, first eight:", [round(x, 4) for x in logits[0, -1, :8].tolist()])


main()
