#!/bin/sh
# Runs the three phases of crawl-clean as indexed jobs, one after the other. Afterwards the plain command, or the runner, sums up.
#
# usage: IMAGE=… CLAIM=… scripts/kubernetes/clean.sh PIPELINE WORKERS      (PIPELINE as the pods see it, from /data)
set -eu
. "$(dirname "$0")/job.sh"
for phase in extract join decide; do
    job "crawl-clean-$phase" "$2" crawl-clean "$1" "--phase $phase"
done
