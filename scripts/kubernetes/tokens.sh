#!/bin/sh
# Runs tokenize and shard as indexed jobs, one after the other: one pod trains the tokenizer, all encode, one sums up, all pack, one sums
# up. Workers share the shards of documents, and then ingest batches.
#
# usage: IMAGE=… CLAIM=… scripts/kubernetes/tokens.sh PIPELINE WORKERS      (PIPELINE as the pods see it, from /data)
set -eu
. "$(dirname "$0")/job.sh"
job tokenize-train 1 tokenize "$1" "--limit 0"
job tokenize "$2" tokenize "$1" ""
job tokenize-sum 1 tokenize "$1" ""
job shard "$2" shard "$1" ""
job shard-sum 1 shard "$1" ""
