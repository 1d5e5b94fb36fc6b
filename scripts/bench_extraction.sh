#!/bin/sh
# Runs bench_extraction.py in an environment of its own, made once in the per-user cache. Needs JIELONG_DATA; arguments go through.
set -eu
cd "$(dirname "$0")/.."
if [ -z "${JIELONG_DATA:-}" ]; then
    echo "skipped: JIELONG_DATA does not name a folder with crawl/*.warc.gz and crawl/*.gold.jsonl.gz" >&2
    exit 0
fi
cache="${XDG_CACHE_HOME:-$HOME/.cache}/jielong"
env="$cache/bench-extraction"
if [ ! -x "$env/bin/python" ]; then
    python3 -m venv "$env" || { echo "skipped: python3 -m venv does not work here (Debian: apt-get install python3-venv)" >&2; exit 0; }
fi
"$env/bin/pip" install -q trafilatura==2.3.1 resiliparse==2.0.1 warcio==1.8.1 lxml-html-clean==0.4.6 || { echo "skipped: no Python packages" >&2; exit 0; }
cargo build --release --workspace --bins --tests --examples
CARGO_TARGET_DIR="$cache/peers" cargo build --release --manifest-path scripts/peers/Cargo.toml
exec "$env/bin/python" scripts/bench_extraction.py --peers "$cache/peers/release/peers" "$@"
