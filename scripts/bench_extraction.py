#!/usr/bin/env python3
"""Compares extractors on the same pages with the same scorer: F1, speed on one core, slowest page.

Ours is scored twice: with the model that it ships, and, with `--folds FOLDER` (see `train_extraction.py`), with models that have not
seen the site of the page. Peers are given the page in UTF-8 where they do not detect the charset themselves.
"""

import argparse
import collections
import gzip
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

WORD = re.compile(r"\w+")
MARKDOWN = set("#*|->")
SETS = ["wcxb-dev", "zh-news", "zh-charset"]
OURS = "target/release/examples/score_extraction"


def bag(text, by_char):
    if by_char:
        return collections.Counter(c for c in text if not c.isspace() and c not in MARKDOWN)
    return collections.Counter(WORD.findall(text.lower()))


def f1(got, want):
    have, need = sum(got.values()), sum(want.values())
    if not have or not need:
        return float(have == need)
    return 2 * sum((got & want).values()) / (have + need)


def pages(data, name):
    """(url, bytes) of every page with gold, and the gold by URL."""
    from warcio.archiveiterator import ArchiveIterator

    with gzip.open(data / f"{name}.gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        gold = {row["url"]: row for row in map(json.loads, lines)}
    with open(data / f"{name}.warc.gz", "rb") as stream:
        for record in ArchiveIterator(stream):
            url = record.rec_headers.get_header("WARC-Target-URI")
            if record.rec_type == "response" and url in gold:
                yield url, record.content_stream().read(), gold[url]


def python_peer(tool):
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import detect_encoding
    from resiliparse.parse.html import HTMLTree
    import trafilatura

    def resiliparse(body):
        tree = HTMLTree.parse_from_bytes(body, detect_encoding(body))
        return extract_plain_text(tree, main_content=True)

    return {
        "resiliparse": resiliparse,
        "trafilatura": lambda body: trafilatura.extract(body) or "",
        "trafilatura precision": lambda body: trafilatura.extract(body, favor_precision=True) or "",
        "trafilatura fast": lambda body: trafilatura.extract(body, fast=True) or "",
    }[tool]


def run_python(tool, some):
    extract, out = python_peer(tool), {}
    for url, body, _ in some:
        started = time.perf_counter()
        try:
            text = extract(body)
        except Exception:  # A page that a peer cannot read is a page without text.
            text = ""
        out[url] = (text, time.perf_counter() - started)
    return out


def run_rust(binary, tool, some):
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    lines = (json.dumps({"url": url, "html": bytes_to_str(body, detect_encoding(body))}) for url, body, _ in some)
    with tempfile.TemporaryFile("w+") as stdin:
        stdin.writelines(line + "\n" for line in lines)
        stdin.seek(0)
        done = subprocess.run([binary, tool], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    rows = map(json.loads, done.stdout.splitlines())
    return {row["url"]: (row["text"], row["secs"]) for row in rows}


def run_ours(name, folds):
    with tempfile.TemporaryDirectory() as folder:
        command = [OURS, name, "--dump", folder] + (["--folds", folds] if folds else [])
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        rows = map(json.loads, (pathlib.Path(folder) / f"{name}.jsonl").read_text(encoding="utf-8").splitlines())
        return {row["url"]: (row["text"], row["secs"]) for row in rows}


def show(tool, name, some, got):
    by_char = name.startswith("zh")
    scores = collections.defaultdict(list)
    for url, _, gold in some:
        score = f1(bag(got.get(url, ("", 0))[0], by_char), bag(gold["main_content"], by_char))
        for key in {"", gold.get("page_type") or ""}:
            scores[key].append(score)
    secs = [secs for _, secs in got.values()]
    rate = sum(len(body) for _, body, _ in some) / 1e6 / sum(secs)
    mean = sum(scores[""]) / len(scores[""])
    kinds = "  ".join(f"{kind} {sum(s) / len(s):.3f}" for kind, s in sorted(scores.items()) if kind)
    print(f"{name:11} {tool:22} F1 {mean:.3f}  {rate:6.1f} MB/s  slowest {max(secs) * 1e3:6.0f} ms  {kinds}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="the binary of scripts/peers")
    parser.add_argument("--folds", help="folder of models for cross-validation, as train_extraction.py leaves it")
    parser.add_argument("--sets", nargs="+", default=SETS)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    data = pathlib.Path(os.environ["JIELONG_DATA"]) / "crawl"
    for name in options.sets:
        some = list(pages(data, name))
        show("ours", name, some, run_ours(name, None))
        if options.folds:
            show("ours, cross-validated", name, some, run_ours(name, options.folds))
        for tool in ["dom_smoothie", "rs-trafilatura"]:
            show(tool, name, some, run_rust(options.peers, tool, some))
        for tool in ["resiliparse", "trafilatura", "trafilatura precision", "trafilatura fast"]:
            show(tool, name, some, run_python(tool, some))
    return 0


if __name__ == "__main__":
    sys.exit(main())
