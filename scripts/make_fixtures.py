#!/usr/bin/env python3
"""Makes everything under `fixtures/` that is made: the crawl, `world_qa`, and what tests expect of the hard cases.

pip install warcio==1.8.1 brotli==1.2.1 opencc-python-reimplemented==0.1.7
scripts/make_fixtures.py              # the same bytes every time; keeps the file that wget crawled
scripts/make_fixtures.py --recrawl    # crawls that file anew (needs wget; its dates and identifiers change)
scripts/make_fixtures.py --check      # reads everything back and counts; writes nothing
"""

import argparse
import json
import random
import sys
from collections import Counter
from io import BytesIO
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from fixtures import chrome, facts, hard, noise, prose, questions, warc, wget_crawl  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent / "fixtures"
SEED = 20240501
ROUNDS = 30
PAGE_SHARDS = 9
WGET_HOSTS = ("www.almanac.example", "www.nianjian.example")
WGET_FILE = "09-wget.warc.gz"


def traditional():
    """Simplified to traditional characters, for the Big5 pages."""
    from opencc import OpenCC

    return OpenCC("s2tw").convert


def place(pages, rng):
    """Gives every page a site of its language and an address there."""
    hosts = chrome.sites()
    by_lang = {lang: [s for s in hosts if s.lang == lang] for lang in ("en", "zh")}
    counters = Counter()
    for page in pages:
        pool = by_lang["zh" if page.lang == "zh" else "en"]
        if page.lang == "mixed":
            pool = [s for s in pool if s.charset == "utf-8"]
        page.site = rng.choice(pool)
        counters[page.site.host] += 1
        n = counters[page.site.host]
        path = [f"notes/{n}.html", f"{2018 + n % 7}/{n % 12 + 1:02}/item-{n}/", f"index.php?id={n}"][len(page.site.host) % 3]
        page.url = f"http://{page.site.host}/{path}"


def body_of(page):
    """The bytes of a page and its content type header."""
    site = page.site
    text = chrome.render(page, site)
    body = hard.encode(text, site.charset)
    declared = f"; charset={site.label or site.charset}" if site.declare in ("http", "both") else ""
    return body, f"text/html{declared}"


def add_page(shard, page):
    """One page as its site serves it."""
    body, content_type = body_of(page)
    shard.response(page.url, body, content_type, coding=page.site.coding, chunked=page.site.chunked)


def noise_ops(rng, count):
    """Records without good text, to be strewn among the pages: (method, args, options)."""
    out = []
    for i in range(count):
        host = f"http://n{i % 17}.junk.example"
        what = rng.choice(["spam", "spam", "frame", "frame", "language", "language", "language", "404", "redirect", "image"])
        if what in ("spam", "frame"):
            lang = rng.choice(["en", "zh"])
            page = noise.spam(rng, lang) if what == "spam" else noise.boilerplate(rng, lang)
            site = chrome.Site(host[7:], lang, "Free Portal" if lang == "en" else "免费门户", rng.choice(chrome.LAYOUTS))
            out.append((f"{host}/{what}/{i}", chrome.render(page, site, str(i)).encode(), "text/html; charset=utf-8", {}))
        elif what == "language":
            lang = rng.choice(list(noise.LANGUAGES))
            charset = rng.choice([noise.LANGUAGES[lang][0], "utf-8"])
            site = chrome.Site(host[7:], "en", "Village Web", rng.choice(chrome.LAYOUTS), charset, "meta")
            text = chrome.render(noise.other_language(rng, lang), site, str(i))
            out.append((f"{host}/{lang}/{i}", hard.encode(text, charset), f"text/html; charset={charset}", {}))
        elif what == "404":
            out.append((f"{host}/lost/{i}", b"<html><body><h1>404 Not Found</h1></body></html>", "text/html", {"status": "404 Not Found"}))
        elif what == "redirect":
            out.append((f"{host}/old/{i}", b"", "text/html", {"status": "302 Found", "extra": [("Location", f"{host}/new/{i}")]}))
        else:
            out.append(
                (
                    f"{host}/pixel-{i}.gif",
                    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,",
                    "image/gif",
                    {},
                )
            )
    return out


def page_shards(rng, pages, junk):
    """The shuffled pages and junk in `PAGE_SHARDS` files."""
    items = [("page", p) for p in pages] + [("junk", j) for j in junk]
    rng.shuffle(items)
    out = []
    for index in range(PAGE_SHARDS):
        shard = warc.Shard(f"{index:02}-pages.warc.gz")
        for what, item in items[index::PAGE_SHARDS]:
            if what == "page":
                if rng.random() < 0.04:
                    shard.request(item.url)
                add_page(shard, item)
            else:
                url, body, content_type, options = item
                shard.response(url, body, content_type, **options)
        out.append(shard)
    return out


def mirror_shard(rng, pages):
    """Copies of pages under other addresses and frames: the same text, or nearly so."""
    shard = warc.Shard("10-mirrors.warc.gz")
    for i, page in enumerate(rng.sample([p for p in pages if p.note == "prose"], 120)):
        lang = page.lang
        blocks = list(page.blocks)
        if i % 2:
            blocks.append(("p", f"Copied on day {i} of the year." if lang == "en" else f"转载于第{i}天。"))
        site = chrome.Site(f"mirror{i % 5}.copies.example", lang, "Copy Station" if lang == "en" else "转载站", rng.choice(chrome.LAYOUTS))
        copy = prose.Page(lang, page.title, blocks, url=f"http://{site.host}/copy/{i}", site=site)
        add_page(shard, copy)
    return shard


def wget_responses(pages):
    """What the local server answers: the pages, and for each host a list of links."""
    responses, seeds = {}, []
    for host in WGET_HOSTS:
        mine = [p for p in pages if p.site.host == host]
        for page in mine:
            body, content_type = body_of(page)
            responses[page.url] = (body, content_type, "")
        links = "".join(f'<li><a href="{p.url}">{i}</a></li>' for i, p in enumerate(mine))
        seed = f"http://{host}/all.html"
        responses[seed] = (
            f"<html><head><title>All pages</title></head><body><ul>{links}</ul></body></html>".encode(),
            "text/html; charset=utf-8",
            "",
        )
        seeds.append(seed)
    return responses, seeds


class World:
    """Everything that follows from the fact table and the seed."""

    def __init__(self):
        rng = random.Random(SEED)
        self.entities = facts.load(ROOT / "facts")
        self.pages, teller = prose.prose_pages(rng, self.entities, ROUNDS)
        countries = [e for e in self.entities if e.kind == "countries"]
        self.extras = [prose.two_language_page(teller, rng.sample(countries, 4)) for _ in range(30)]
        self.extras += [noise.everyday(rng, lang) for lang in ("en", "zh") for _ in range(5)]
        place(self.pages + self.extras, rng)
        crawled = self.pages + self.extras
        self.wget_pages = [p for p in crawled if p.site.host in WGET_HOSTS]
        self.shards = page_shards(rng, [p for p in crawled if p.site.host not in WGET_HOSTS], noise_ops(rng, 420))
        self.shards.append(mirror_shard(rng, self.pages))
        self.cases = hard.Cases(random.Random(SEED + 1), self.entities, traditional()).all()
        hard_shard = warc.Shard("11-hard-cases.warc.gz")
        self.cases.write(hard_shard)
        broken_shard = warc.Shard("12-broken.warc.gz")
        hard.broken(self.cases, broken_shard)
        self.shards += [hard_shard, broken_shard]
        self.broken_shard = broken_shard
        self.extra_pages, self.extra = self.make_extra(teller)
        self.reduced = self.make_reduced()

    def make_extra(self, teller):
        """Forty new pages for an input folder that is already in use."""
        rng = random.Random(SEED + 2)
        pages = []
        for lang in ("en", "zh"):
            kinds = [g for kind in facts.COLUMNS for g in prose.groups(rng, self.entities, kind)]
            pages += [prose.compose(teller, group, lang) for group in rng.sample(kinds, 20)]
        place(pages, rng)
        shard = warc.Shard("extra.warc.gz")
        for i, page in enumerate(pages):
            page.url = f"http://{page.site.host}/extra/{i}.html"
            add_page(shard, page)
        return pages, shard

    def make_reduced(self):
        """The hard cases and a few good pages, small enough for tests."""
        rng = random.Random(SEED + 3)
        good = warc.Shard("00-small.warc.gz")
        for page in rng.sample(self.pages, 20):
            add_page(good, page)
        hard_shard = warc.Shard("01-hard-cases.warc.gz")
        self.cases.write(hard_shard)
        return [good, hard_shard]

    def write(self, recrawl):
        """All files; those of an earlier run that are no longer made are removed."""
        for folder in ("crawl", "extra", "reduced", "world_qa", "expected"):
            (ROOT / folder).mkdir(parents=True, exist_ok=True)
        wget_file = ROOT / "crawl" / WGET_FILE
        for old in [*(ROOT / "crawl").glob("*.warc.gz"), *(ROOT / "reduced").glob("*.warc.gz")]:
            if old != wget_file:
                old.unlink()
        for shard in self.shards:
            (ROOT / "crawl" / shard.name).write_bytes(shard.bytes())
        (ROOT / "extra" / self.extra.name).write_bytes(self.extra.bytes())
        for shard in self.reduced:
            (ROOT / "reduced" / shard.name).write_bytes(shard.bytes())
        (ROOT / "reduced" / "02-broken.warc.gz").write_bytes(self.broken_shard.bytes())
        if recrawl or not wget_file.exists():
            wget_crawl.crawl(*wget_responses(self.wget_pages), wget_file)
        splits, types, baselines = questions.build(self.entities)
        for split, rows in splits.items():
            questions.write_jsonl(ROOT / "world_qa" / f"{split}.jsonl", rows)
        for name, content in (("answer_types", types), ("baselines", baselines)):
            text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
            (ROOT / "world_qa" / f"{name}.json").write_text(text, encoding="utf-8")
        questions.write_jsonl(ROOT / "world_qa" / "probes.jsonl", questions.probes())
        questions.write_jsonl(ROOT / "expected" / "hard_cases.jsonl", self.cases.expected)
        (ROOT / "expected" / "hard_cases.md").write_text(hard_list(self.cases.expected), encoding="utf-8")


def hard_list(expected):
    """The hard cases as a table for people."""
    lines = [
        "# Hard cases",
        "",
        "Made by `scripts/make_fixtures.py` from the same list as `hard_cases.jsonl`, which also has the text that must or must not appear.",
        "",
    ]
    lines += ["| address | kind | verdict | reason | charset | note |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [
        f"| `{c['url']}` | {c['kind']} | {c['verdict']} | {c['reason'] or ''} | {c['charset'] or ''} | {c.get('note') or c.get('of') or ''} |"
        for c in expected
    ]
    return "\n".join(lines) + "\n"


def bodies(path, decode=True):
    """(address, body) of all whole 200 responses of a file, read by `warcio`; the codings undone unless told otherwise."""
    from warcio.archiveiterator import ArchiveIterator

    for record in ArchiveIterator(BytesIO(path.read_bytes())):
        if record.rec_type != "response" or record.http_headers is None or record.http_headers.get_statuscode() != "200":
            continue
        body = record.raw_stream.read()
        yield record.rec_headers.get_header("WARC-Target-URI"), warc.decode_body(body, record.http_headers) if decode else body


def decoded(body, page):
    """The HTML of a page of ours, in its own charset."""
    import html

    return html.unescape(body.decode(page.site.charset))


def check_hard_cases(expected):
    """The bytes of every hard case with a known charset decode to the text that is expected of it."""
    import html

    found = dict(bodies(ROOT / "crawl" / "11-hard-cases.warc.gz", decode=False))
    for case in expected:
        if case["kind"] == "broken-file" or not case["charset"]:
            continue
        text = html.unescape(found[case["url"]].decode(case["charset"]))
        for snippet in case["contains"]:
            if snippet not in text:
                raise SystemExit(f"{case['url']} lacks {snippet!r}")


def check(world):
    """Counts tellings in the files as they lie there, and looks for held-out questions in them."""
    by_url = {p.url: p for p in world.pages + world.extras}
    found, tellings = set(), Counter()
    everything = questions.rows(world.entities)
    for split, row in everything:
        if any(split != s and row["question"] in r["question"] for s, r in everything):
            raise SystemExit(f"`{row['question']}` is part of a question of the other split")
    heldout = [r["question"] for split, r in everything if split == "heldout"]
    asked = Counter()
    for path in sorted((ROOT / "crawl").glob("*-pages.warc.gz")) + [ROOT / "crawl" / WGET_FILE]:
        for url, body in bodies(path):
            page = by_url.get(url)
            if page is None:
                continue
            text = decoded(body, page)
            missing = [s for s in page.sentences() if s not in text]
            if missing:
                raise SystemExit(f"{path.name}: {url} lacks {missing[0]!r}: run with --recrawl if the pages have changed")
            asked["held-out questions in pages"] += sum(q in text for q in heldout)
            asked["seen questions in pages"] += (
                sum(r["question"] in text for s, r in everything if s == "seen") if ("?" in page.text() or "？" in page.text()) else 0
            )
            found.add(url)
            tellings.update((page.lang, *t) for t in page.tellings)
    if found != set(by_url):
        raise SystemExit(f"{len(set(by_url) - found)} pages are not in the files, such as {sorted(set(by_url) - found)[0]}")
    if asked["held-out questions in pages"]:
        raise SystemExit("a held-out question stands on a page")
    for page in world.pages:
        for line in page.text().splitlines():
            if "?" in line or "？" in line:
                for entity in world.entities:
                    q = [
                        f[i].format(s=entity.names[l])
                        for r, f in [*questions.QUESTIONS.items(), *prose.OTHER_QUESTIONS.items()]
                        for i, l in enumerate(("en", "zh"))
                    ]
                    if not entity.seen and any(x in line for x in q):
                        raise SystemExit(f"a question about held-out `{entity.id}`: {line}")
    check_hard_cases(world.cases.expected)
    report(world, tellings, asked)


def report(world, tellings, asked):
    """The figures of `fixtures/README.md`."""
    num_facts = sum(len(e.facts) for e in world.entities)
    print(f"entities {len(world.entities)} ({Counter(e.kind for e in world.entities)}), facts {num_facts} in each language")
    print(f"seen {sum(e.seen for e in world.entities)}, held out {sum(not e.seen for e in world.entities)}")
    for lang in ("en", "zh"):
        counts = sorted(tellings[(lang, e.kind, e.id, r)] for e in world.entities for r in e.facts)
        pages = [p for p in world.pages if p.lang == lang]
        size = sum(len(p.text().encode()) for p in pages)
        lengths = sorted(len(p.text().split()) if lang == "en" else sum("\u4e00" <= c <= "\u9fff" for c in p.text()) for p in pages)
        print(
            f"{lang}: {len(pages)} pages, {size} bytes of text, tellings per fact min {counts[0]} median {counts[len(counts) // 2]} max {counts[-1]}, "
            f"{'words' if lang == 'en' else 'Han'} per page min {lengths[0]} median {lengths[len(lengths) // 2]}"
        )
        bank = prose.BANK[lang].WORDINGS
        print(f"{lang}: wordings {({k: len(v) for k, v in bank.items()})}")
    print(dict(asked))
    for folder in ("crawl", "extra", "reduced", "world_qa", "expected", "facts"):
        files = [p for p in (ROOT / folder).rglob("*") if p.is_file()]
        print(f"{folder}: {len(files)} files, {sum(p.stat().st_size for p in files)} bytes")
    for split in ("seen", "heldout"):
        rows = [json.loads(line) for line in (ROOT / "world_qa" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]
        print(f"world_qa {split}: {len(rows)} questions {dict(Counter(r['relation'] for r in rows))}")
    print(f"hard cases {len(world.cases.expected)} {dict(Counter(c['kind'] for c in world.cases.expected))}")


def main():
    """Parses the flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recrawl", action="store_true", help="crawl the wget file anew")
    parser.add_argument("--check", action="store_true", help="read everything back and count; write nothing")
    options = parser.parse_args()
    world = World()
    if not options.check:
        world.write(options.recrawl)
    check(world)


if __name__ == "__main__":
    main()
