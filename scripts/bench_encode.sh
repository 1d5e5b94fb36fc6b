#!/bin/sh
# Our encoder, the tokenizers library, and the fastest others, on the same documents with the same vocabulary, in one run.
# Needs JIELONG_DATA (tasks/wiki_demo.txt and others). The others are built once, in the per-user cache; scripts/encoders pins them.
set -eu
cd "$(dirname "$0")/.."
if [ -z "${JIELONG_DATA:-}" ]; then
    echo "skipped: JIELONG_DATA does not name a folder with tasks/wiki_demo.txt" >&2
    exit 0
fi
cache="${XDG_CACHE_HOME:-$HOME/.cache}/jielong"
CARGO_TARGET_DIR="$cache/encoders" cargo build --release --locked --manifest-path scripts/encoders/Cargo.toml
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cargo bench --workspace --bench encode -- --export "$out"
"$cache/encoders/release/encoders" "$out"
