#!/bin/sh
# Runs tokenize and shard over the fixtures by themselves and as array jobs of 3 workers under Slurm, and compares every byte of the
# output. Needs a Slurm that takes jobs, such as one_node.sh makes, and built binaries.
set -eu
cd "$(dirname "$0")/../.."
workers=${WORKERS:-3}
export BIN="${BIN:-$PWD/target/release}" CPUS=1 MEMORY=500M
runs=$(mktemp -d "$PWD/.slurm-check.XXXXXX")
trap 'rm -rf "$runs"' EXIT
export OPTIONS="--output=$runs/%x-%A-%a.log --wait-all-nodes=0"
for run in one many; do
    "$BIN/crawl-clean" --config pipelines/tiny.toml --run "$runs/$run" --quiet
done
for stage in tokenize shard; do
    "$BIN/$stage" --config pipelines/tiny.toml --run "$runs/one" --quiet
done
last=$(scripts/slurm/tokens.sh pipelines/tiny.toml "$workers" --run "$runs/many" --quiet)
echo "submitted, last job $last"
while squeue -h -j "$last" 2>/dev/null | grep -q .; do
    sleep 1
done
if [ ! -e "$runs/many/shard/stamp.json" ]; then
    cat "$runs"/*.log >&2
    echo "error: the jobs did not finish" >&2
    exit 1
fi
for folder in tokenize/data tokenize/tokenizer shard/data; do
    diff -r "$runs/one/$folder" "$runs/many/$folder"
    echo "$folder: $(find "$runs/many/$folder" -type f | wc -l) files, the same bytes"
done
