#!/bin/sh
# Submits tokenize and shard to Slurm: one job that trains the tokenizer, an array job that encodes, one that sums up, an array job that
# packs, and one that sums up. Prints the number of the last.
#
# usage: scripts/slurm/tokens.sh PIPELINE WORKERS [FLAGS OF the stages...]
# environment: BIN (target/release, the folder of the binaries), CPUS (2) and MEMORY (4000M) of a worker, OPTIONS for sbatch
#
# All nodes need the checkout, the inputs and the run directory under the same paths. Workers of shard share ingest batches, not files.
set -eu
if [ $# -lt 2 ]; then
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
folder=${BIN:-target/release} cpus=${CPUS:-2} memory=${MEMORY:-4000M}
pipeline=$1 workers=$2
shift 2
# What sums up finds everything done, and must not do it again.
force=
for flag; do
    shift
    if [ "$flag" = --force ]; then force=--force; else set -- "$@" "$flag"; fi
done

# submit ARRAY STAGE FLAGS...: after the job before; the array may be empty. Sets `job`.
job=
submit() {
    array=$1 stage=$2
    shift 2
    # shellcheck disable=SC2086 # OPTIONS are several words
    job=$(sbatch --parsable --cpus-per-task="$cpus" --mem="$memory" --job-name="$stage" ${job:+--dependency=afterok:$job --kill-on-invalid-dep=yes} \
        ${array:+--array=0-$((array - 1))} ${OPTIONS:-} "$here/stage.sbatch" "$folder/$stage" --config "$pipeline" --threads "$cpus" "$@")
}

submit "" tokenize --limit 0 $force "$@"
submit "$workers" tokenize $force "$@"
submit "" tokenize "$@"
submit "$workers" shard $force "$@"
submit "" shard "$@"
echo "$job"
