#!/bin/sh
# Runs crawl-clean over the fixtures by itself and as array jobs of 4 workers under Slurm, and compares every byte of the output.
# Needs a Slurm that takes jobs, such as one_node.sh makes, and a built crawl-clean.
set -eu
cd "$(dirname "$0")/../.."
workers=${WORKERS:-4}
export BIN="${BIN:-$PWD/target/release/crawl-clean}" CPUS=1 MEMORY=500M
runs=$(mktemp -d "$PWD/.slurm-check.XXXXXX")
trap 'rm -rf "$runs"' EXIT
export OPTIONS="--output=$runs/%x-%A-%a.log --wait-all-nodes=0"
"$BIN" --config pipelines/tiny.toml --run "$runs/one" --quiet
last=$(scripts/slurm/clean.sh pipelines/tiny.toml "$workers" --run "$runs/many" --quiet)
echo "submitted, last job $last"
while squeue -h -j "$last" 2>/dev/null | grep -q .; do
    sleep 1
done
if [ ! -e "$runs/many/crawl-clean/stamp.json" ]; then
    cat "$runs"/*.log >&2
    echo "error: the jobs did not finish" >&2
    exit 1
fi
for folder in data rejected signatures clusters extracted; do
    diff -r "$runs/one/crawl-clean/$folder" "$runs/many/crawl-clean/$folder"
    echo "$folder: $(find "$runs/many/crawl-clean/$folder" -type f | wc -l) files, the same bytes"
done
