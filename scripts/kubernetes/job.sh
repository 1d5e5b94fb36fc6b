# Sourced by the scripts beside it. job NAME WORKERS STAGE PIPELINE FLAGS: runs an indexed job, waits for its end, and removes it.
job() {
    sed -e "s|\${NAME}|$1|g; s|\${WORKERS}|$2|g; s|\${STAGE}|$3|g; s|\${PIPELINE}|$4|g; s|\${FLAGS}|$5|g" \
        -e "s|\${IMAGE}|$IMAGE|g; s|\${CLAIM}|$CLAIM|g" "$(dirname "$0")/stage.yaml" | kubectl apply -f -
    until kubectl wait --for=condition=complete --timeout=60s "job/$1" 2>/dev/null; do
        if kubectl wait --for=condition=failed --timeout=0 "job/$1" 2>/dev/null; then
            echo "error: $1 failed; see kubectl logs job/$1" >&2
            exit 1
        fi
    done
    kubectl delete "job/$1"
}

if [ $# -ne 2 ] || [ -z "${IMAGE:-}" ] || [ -z "${CLAIM:-}" ]; then
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
