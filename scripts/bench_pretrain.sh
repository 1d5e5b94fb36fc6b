#!/bin/sh
# Runs bench_pretrain.py in an environment of its own, made once in the per-user cache. Arguments go through.
set -eu
cd "$(dirname "$0")/.."
env="${XDG_CACHE_HOME:-$HOME/.cache}/jielong/bench-python"
if [ ! -x "$env/bin/python" ]; then
    python3 -m venv "$env" || { echo "skipped: python3 -m venv does not work here (Debian: apt-get install python3-venv)" >&2; exit 0; }
fi
"$env/bin/pip" install -q torch==2.11.0 transformers==5.23.0 safetensors==0.8.0 numpy || { echo "skipped: no Python packages" >&2; exit 0; }
cargo build --release --workspace --bins --tests --examples
exec "$env/bin/python" scripts/bench_pretrain.py "$@"
