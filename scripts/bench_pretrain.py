#!/usr/bin/env python3
"""Training speed beside what one would use instead: a plain PyTorch loop, the same under torch.compile, and transformers' Llama.

All start from the same random weights, see the same batches, and do the same step (AdamW, gradient clipping, AdamW's
decay on matrices only); the loss after the last step must agree within 1 %. Every contender runs in a process of its own,
one at a time, in turns, and the median over the turns counts. Run it on a quiet machine; where neighbours slow it down
now and then, the fastest step of all turns, in brackets, tells more than the median one.

    scripts/bench_pretrain.py [--sizes 1m,14m] [--threads 1,2] [--precision fp32] [--turns 1] [--device cpu]

Sizes are 1m, 14m, 110m, 0.7b, 1.5b; precisions fp32 and bf16; devices cpu and cuda. The default takes about half an hour on two cores.

Needs torch==2.11.0, transformers==5.23.0 and safetensors (scripts/bench_pretrain.sh makes an environment of its own),
and target/release/examples/train_speed.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
OURS = ROOT / "target/release/examples/train_speed"
WARM_UP = 5
# hidden size, layers, heads, feed-forward width, vocabulary, length, rows, steps
SIZES = {
    "1m": (128, 4, 2, 384, 2048, 128, 32, 30),
    "14m": (384, 6, 6, 1024, 8192, 512, 8, 20),
    "110m": (768, 12, 12, 2048, 32000, 512, 2, 20),
    "0.7b": (1536, 24, 16, 4096, 32000, 2048, 16, 20),
    "1.5b": (2048, 28, 16, 5632, 32000, 2048, 8, 20),
}
CONTENDERS = ["jielong", "eager", "compile", "transformers"]


def prepare(size, folder):
    """Random weights as a Hugging Face folder, and batches with something to learn: a noisy walk over a skewed vocabulary."""
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    width, layers, heads, inner, vocabulary, length, rows, steps = SIZES[size]
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=heads, max_position_embeddings=2048, rms_norm_eps=1e-5, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=0, pad_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    skewed = (torch.rand(steps, rows, length + 1) ** 4 * vocabulary).long()
    ids = skewed.clone()
    for t in range(1, length + 1):
        follows = torch.rand(steps, rows) < 0.5
        ids[:, :, t] = torch.where(follows, (ids[:, :, t - 1] * 7 + 13) % vocabulary, skewed[:, :, t])
    save_file({"ids": ids.contiguous()}, folder / "batches.safetensors")


def plain_llama(torch, folder):
    """A Llama as one writes it by hand, with the weights of the folder."""
    from safetensors.torch import load_file

    F, nn = torch.nn.functional, torch.nn
    shape = json.loads((folder / "model/config.json").read_text())
    width, heads, eps = shape["hidden_size"], shape["num_attention_heads"], shape["rms_norm_eps"]
    each = width // heads

    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(width))

        def forward(self, x):
            return F.rms_norm(x, (width,), self.weight, eps)

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(width, width, bias=False) for _ in range(4))

        def forward(self, x, cos, sin):
            b, t, _ = x.shape
            q, k, v = (p(x).view(b, t, heads, each).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))

            def turn(x):
                a, b = x.chunk(2, dim=-1)
                return x * cos + torch.cat((-b, a), dim=-1) * sin

            y = F.scaled_dot_product_attention(turn(q).to(v.dtype), turn(k).to(v.dtype), v, is_causal=True)
            return self.o_proj(y.transpose(1, 2).reshape(b, t, width))

    class Mlp(nn.Module):
        def __init__(self):
            super().__init__()
            inner = shape["intermediate_size"]
            self.gate_proj, self.up_proj = nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False)
            self.down_proj = nn.Linear(inner, width, bias=False)

        def forward(self, x):
            return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.input_layernorm, self.post_attention_layernorm = Norm(), Norm()
            self.self_attn, self.mlp = Attention(), Mlp()

        def forward(self, x, cos, sin):
            x = x + self.self_attn(self.input_layernorm(x), cos, sin)
            return x + self.mlp(self.post_attention_layernorm(x))

    class Llama(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed_tokens = nn.Embedding(shape["vocab_size"], width)
            self.layers = nn.ModuleList(Block() for _ in range(shape["num_hidden_layers"]))
            self.norm = Norm()

        def forward(self, ids, targets):
            angles = torch.outer(torch.arange(ids.shape[1], device=ids.device), 10000.0 ** (-torch.arange(0, each, 2, device=ids.device) / each))
            cos, sin = torch.cat((angles, angles), -1).cos(), torch.cat((angles, angles), -1).sin()
            x = self.embed_tokens(ids)
            for block in self.layers:
                x = block(x, cos, sin)
            logits = F.linear(self.norm(x), self.embed_tokens.weight).float()
            return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))

    model = Llama()
    weights = {name.removeprefix("model."): t for name, t in load_file(folder / "model/model.safetensors").items() if name != "lm_head.weight"}
    model.load_state_dict(weights)
    return model


def peer(name, folder, threads, precision, device):
    import torch
    from safetensors.torch import load_file

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    ids = load_file(folder / "batches.safetensors")["ids"]
    if name == "transformers":
        from transformers import AutoModelForCausalLM

        inner = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32, attn_implementation="sdpa").to(device)
        inner.train()
        inner.config.use_cache = False
        parameters = list(inner.parameters())

        def loss_of(x, y):
            logits = inner(input_ids=x, use_cache=False).logits.float()
            return torch.nn.functional.cross_entropy(logits.view(-1, logits.shape[-1]), y.reshape(-1))
    else:
        model = plain_llama(torch, folder).to(device)
        parameters = list(model.parameters())
        loss_of = torch.compile(model) if name == "compile" else model
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, fused=True)
    losses, times = [], []
    for rows in ids:
        started = time.perf_counter()
        rows = rows.to(device)
        x, y = rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_of(x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        times.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    tokens = ids.shape[1] * (ids.shape[2] - 1)
    print(json.dumps({"tokens_per_sec": tokens / statistics.median(times[WARM_UP:]), "peak_bytes": peak, "losses": losses, "step_secs": times}))


def run(name, folder, threads, precision, device):
    if name == "jielong":
        command = [OURS, folder / "model", folder / "batches.safetensors", threads, precision]
    else:
        command = [sys.executable, __file__, "--peer", name, "--folder", folder, "--threads", threads, "--precision", precision, "--device", device]
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    done = subprocess.run([str(word) for word in command], env=env, capture_output=True, text=True)
    if done.returncode != 0:
        return {"error": (done.stderr.strip().splitlines() or ["?"])[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1m,14m")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return peer(args.peer, args.folder, int(args.threads), args.precision, args.device)
    print("size  precision threads contender      tokens/s   ours is   (fastest    ours is)   peak GB   last loss")
    for size in args.sizes.split(","):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            prepare(size, folder)
            for precision in args.precision.split(","):
                for threads in map(int, args.threads.split(",")):
                    turns = {name: [] for name in args.contenders.split(",")}
                    for _ in range(args.turns):
                        for name, results in turns.items():
                            results.append(run(name, folder, threads, precision, args.device))
                    report(size, precision, threads, turns)


def report(size, precision, threads, turns):
    def median(results, key):
        return statistics.median(r[key] for r in results)

    def fastest(results):
        return tokens / min(t for r in results for t in r["step_secs"][WARM_UP:])

    *_, length, rows, _ = SIZES[size]
    tokens = length * rows
    ours = turns.get("jielong", [])
    for name, results in turns.items():
        head = f"{size:5} {precision:9} {threads:7} {name:13}"
        failed = next((r["error"] for r in results if "error" in r), None)
        if failed is not None:
            print(f"{head} failed: {failed}")
            continue
        speed, loss, best = median(results, "tokens_per_sec"), results[0]["losses"][-1], fastest(results)
        line = f"{head} {speed:9.0f}"
        if ours and all("error" not in r for r in ours):
            line += f"   {median(ours, 'tokens_per_sec') / speed:5.2f} x   ({best:7.0f}    {fastest(ours) / best:5.2f} x)"
            gap = abs(loss / ours[0]["losses"][-1] - 1)
            agrees = "" if gap < 0.01 else f"  DIFFERS by {gap:.1%}"
        else:
            line, agrees = line + " " * 33, ""
        print(f"{line}   {median(results, 'peak_bytes') / 1e9:7.2f}   {loss:9.4f}{agrees}", flush=True)


if __name__ == "__main__":
    main()
