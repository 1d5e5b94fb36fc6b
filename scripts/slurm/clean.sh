#!/bin/sh
# Submits crawl-clean to Slurm: three array jobs, each after the one before, and one job that sums up. Prints the number of the last.
#
# usage: scripts/slurm/clean.sh PIPELINE WORKERS [FLAGS OF crawl-clean...]
# environment: BIN (target/release/crawl-clean), CPUS (2) and MEMORY (3000M) of a worker, OPTIONS for sbatch (a partition, a time limit)
#
# All nodes need the checkout, the inputs and the run directory under the same paths, on a file system that passes file locks on between
# them (NFS 4, Lustre mounted with flock): a worker that is started again takes over from a killed one. A worker takes max_memory_mb and
# one page a thread.
set -eu
if [ $# -lt 2 ]; then
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
binary=${BIN:-target/release/crawl-clean} cpus=${CPUS:-2} memory=${MEMORY:-3000M}
pipeline=$1 workers=$2
shift 2

# submit DEPENDENCY ARRAY PHASE FLAGS...: the dependency and the array may be empty.
submit() {
    after=$1 array=$2 phase=$3
    shift 3
    # shellcheck disable=SC2086 # OPTIONS are several words
    sbatch --parsable --cpus-per-task="$cpus" --mem="$memory" ${after:+--dependency=afterok:$after --kill-on-invalid-dep=yes} \
        ${array:+--array=0-$((array - 1))} ${OPTIONS:-} "$here/phase.sbatch" "$binary" "$pipeline" "$phase" --threads "$cpus" "$@"
}

job=
for phase in extract join decide; do
    job=$(submit "$job" "$workers" "$phase" "$@")
done
submit "$job" "" finish "$@"
