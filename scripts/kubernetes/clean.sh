#!/bin/sh
# Runs the three phases of crawl-clean as indexed jobs, one after the other. Afterwards the plain command, or the runner, sums up.
#
# usage: IMAGE=… CLAIM=… scripts/kubernetes/clean.sh PIPELINE WORKERS      (PIPELINE as the pods see it, from /data)
set -eu
if [ $# -ne 2 ] || [ -z "${IMAGE:-}" ] || [ -z "${CLAIM:-}" ]; then
    sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
for phase in extract join decide; do
    sed -e "s|\${PHASE}|$phase|g; s|\${WORKERS}|$2|g; s|\${IMAGE}|$IMAGE|g; s|\${CLAIM}|$CLAIM|g; s|\${PIPELINE}|$1|g" \
        "$here/crawl-clean.yaml" | kubectl apply -f -
    until kubectl wait --for=condition=complete --timeout=60s "job/crawl-clean-$phase" 2>/dev/null; do
        if kubectl wait --for=condition=failed --timeout=0 "job/crawl-clean-$phase" 2>/dev/null; then
            echo "error: phase $phase failed; see kubectl logs job/crawl-clean-$phase" >&2
            exit 1
        fi
    done
    kubectl delete "job/crawl-clean-$phase"
done
