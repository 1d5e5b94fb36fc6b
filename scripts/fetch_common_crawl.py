#!/usr/bin/env python3
"""Fetches archives of Common Crawl: some files of one crawl, spread evenly over it, or those that are named.

    scripts/fetch_common_crawl.py CC-MAIN-2025-13 --kind warc --files 4 --into data/warc
    make pipeline PIPELINE=warc

A file of WARC is about 1 GB, one of WET (text without markup) about 100 MB. What is there already is not fetched again, and a file that
broke off goes on where it stopped. Common Crawl asks for few connections at a time, so files come one after the other; where it is busy
(503, 429) the script waits. Needs Python alone.
"""

import argparse
import gzip
import pathlib
import sys
import time
import urllib.error
import urllib.request

BASE = "https://data.commoncrawl.org/"
AGENT = "jielong/0.1 (fetch_common_crawl.py)"
TRIES = 8
CHUNK = 1 << 20


def ask(url, start=0):
    """The response to a request from byte `start` on; waits and asks again where the server is busy."""
    headers = {"User-Agent": AGENT} | ({"Range": f"bytes={start}-"} if start else {})
    for attempt in range(TRIES):
        try:
            return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)
        except urllib.error.HTTPError as error:
            if error.code not in (429, 500, 502, 503, 504):
                raise
            problem = error
        except (urllib.error.URLError, TimeoutError) as error:
            problem = error
        wait = min(2**attempt, 60)
        print(f"  {problem}; again in {wait} s", file=sys.stderr)
        time.sleep(wait)
    raise SystemExit(f"error: {url} does not answer after {TRIES} tries")


def fetch(url, target):
    """Fetches one file, whole or not at all, going on where an earlier attempt stopped."""
    part = target.with_name(target.name + ".part")
    for _ in range(TRIES):
        start = part.stat().st_size if part.exists() else 0
        try:
            response = ask(url, start)
        except urllib.error.HTTPError as error:
            # Nothing is left of the range: the part is whole.
            if error.code == 416 and start:
                break
            raise
        with response:
            resumed = start and response.status == 206
            total = (start if resumed else 0) + int(response.headers.get("Content-Length") or 0)
            got = start if resumed else 0
            with open(part, "ab" if resumed else "wb") as out:
                try:
                    while chunk := response.read(CHUNK):
                        out.write(chunk)
                        got += len(chunk)
                        if sys.stderr.isatty():
                            print(f"\r  {target.name} {got / 1e6:.0f} of {total / 1e6:.0f} MB ", end="", file=sys.stderr)
                except (OSError, TimeoutError) as error:
                    print(f"  {target.name}: {error}", file=sys.stderr)
        if not total or got >= total:
            break
    else:
        raise SystemExit(f"error: {url} broke off {TRIES} times; what came is in {part}")
    with open(part, "rb") as file:
        if file.read(2) != b"\x1f\x8b":
            raise SystemExit(f"error: {part} is no gzip file")
    part.rename(target)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crawl", help="name of a crawl, as https://commoncrawl.org/get-started lists them")
    parser.add_argument("--kind", choices=["warc", "wet"], default="warc")
    parser.add_argument("--files", type=int, default=1, help="how many, spread evenly over the crawl (1)")
    parser.add_argument("--paths", nargs="+", help="paths of files, in the place of --files")
    parser.add_argument("--into", type=pathlib.Path, default=pathlib.Path("data/warc"), help="folder (data/warc)")
    parser.add_argument("--base", default=BASE, help="another server with the same paths")
    options = parser.parse_args()
    base = options.base.rstrip("/") + "/"
    paths = options.paths
    try:
        if not paths:
            with ask(f"{base}crawl-data/{options.crawl}/{options.kind}.paths.gz") as response:
                every = gzip.decompress(response.read()).decode().split()
            count = min(max(options.files, 1), len(every))
            paths = [every[i * len(every) // count] for i in range(count)]
        options.into.mkdir(parents=True, exist_ok=True)
        for number, path in enumerate(paths, 1):
            target = options.into / path.rsplit("/", 1)[-1]
            if target.exists():
                print(f"{number}/{len(paths)} {target} is there")
                continue
            started = time.monotonic()
            fetch(base + path, target)
            size, secs = target.stat().st_size / 1e6, max(time.monotonic() - started, 1e-3)
            print(f"{number}/{len(paths)} {target} {size:.1f} MB, {size / secs:.1f} MB/s")
    except urllib.error.HTTPError as error:
        raise SystemExit(f"error: {error.url}: {error}\nhint: is the name of the crawl right, as in CC-MAIN-2025-13?") from None


if __name__ == "__main__":
    main()
