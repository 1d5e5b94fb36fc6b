#!/usr/bin/env python3
"""Trains the model of `crawl-clean`'s extraction, and says by cross-validation how good it is.

Needs numpy and lightgbm, and pages with gold text (see `crates/crawl-clean/examples/dump_blocks.rs`):

    JIELONG_DATA=/data target/release/examples/dump_blocks /tmp/blocks
    python3 scripts/train_extraction.py /data/crawl /tmp/blocks --model crates/crawl-clean/src/extract/model.txt

Folds keep pages of one site together.
The scores printed are of pages whose site the model had not seen; the model written is trained on all pages.
With `--folds FOLDER` the models of the folds are left there for `score_extraction --folds FOLDER`.
"""

import argparse
import collections
import gzip
import hashlib
import json
import pathlib
import re

import lightgbm
import numpy

WORD = re.compile(r"\w+")
MARKDOWN = set("#*|->")
# Thresholds of `choose.rs`.
LEAST, HEADING, FOLDED_UNITS, BETA2, GAP, IN_GAP = 0.15, 0.1, 80, 0.6, 20, 0.05
# A Han character is about so much of a word.
CHARS_A_WORD = 1.7
# Weight of a page that was thinned out.
THIN_WEIGHT = 0.6
# `blocks::FAR`: the distance to what is nowhere above.
FAR = 24
# Share of the hints by class and id that a page loses when it is shown once more, and its weight then.
FORGOTTEN, FORGOTTEN_WEIGHT = 0.6, 0.6


def tokens(text, by_char):
    """Words, or characters without white space and Markdown marks."""
    if by_char:
        return [c for c in text if not c.isspace() and c not in MARKDOWN]
    return WORD.findall(text.lower())


def gold_share(blocks, gold, longest):
    """For each block the share of its tokens that stand in the gold text, in runs of at most `longest` tokens.

    A short block counts fully only if the gold has it beside a neighbour: single words occur anywhere.
    """
    runs = set()
    for length in range(1, longest + 1):
        runs.update(tuple(gold[i : i + length]) for i in range(len(gold) - length + 1))
    shares = numpy.zeros(len(blocks))
    for at, block in enumerate(blocks):
        if not block:
            continue
        length = min(longest, len(block))
        covered = numpy.zeros(len(block), bool)
        for i in range(len(block) - length + 1):
            if tuple(block[i : i + length]) in runs:
                covered[i : i + length] = True
        share = covered.mean()
        if share >= 0.5 and len(block) < longest + 2:
            before = blocks[at - 1] if at else []
            after = blocks[at + 1] if at + 1 < len(blocks) else []
            beside = any(
                (before and tuple((before[-k:] + block[: max(1, longest - k)])[:longest]) in runs)
                or (after and tuple((block[-max(1, longest - k) :] + after[:k])[-longest:]) in runs)
                for k in (2, 1)
            )
            if not beside:
                share *= 0.5 if len(block) > 1 else 0.3
        shares[at] = share
    return shares


def read_set(data, folder, name, names):
    by_char = name.startswith("zh")
    with gzip.open(data / f"{name.removesuffix('-thin')}.gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    gold = {row["url"]: (tokens(row["main_content"], by_char), row.get("page_type") or name) for row in rows}
    features = numpy.fromfile(folder / f"{name}.features.f32", dtype="<f4").reshape(-1, len(names))
    not_shown, units, kind_of = (features[:, names.index(key)] for key in ("near not shown", "units", "kind"))
    pages, start = [], 0
    with open(folder / f"{name}.blocks.jsonl", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            end = start + len(row["blocks"])
            if row["url"] in gold:
                words, kind = gold[row["url"]]
                blocks = [tokens(block, by_char) for block in row["blocks"]]
                unit = CHARS_A_WORD if by_char else 1.0
                pages.append(
                    {
                        "url": row["url"],
                        "site": row["site"] or row["url"],
                        "set": name,
                        "hidden": not_shown[start:end] < FAR,
                        "short": units[start:end] < numpy.log1p(FOLDED_UNITS),
                        "heading": kind_of[start:end] == 1,
                        "structure": kind_of[start:end] >= 3,
                        "kind": kind,
                        "rows": slice(start, end),
                        "blocks": blocks,
                        "sizes": numpy.array([len(block) / unit for block in blocks]),
                        "gold": collections.Counter(words),
                        "gold_size": len(words) / unit,
                        "share": gold_share(blocks, words, 8 if by_char else 4),
                    }
                )
            start = end
    return features, pages


def read_all(data, folder, names):
    columns = (folder / "features.txt").read_text(encoding="utf-8").splitlines()
    features, pages, offset = [], [], 0
    for name in names:
        some, more = read_set(data, folder, name, columns)
        for page in more:
            page["rows"] = slice(page["rows"].start + offset, page["rows"].stop + offset)
        offset += len(some)
        features.append(some)
        pages += more
    features = numpy.concatenate(features)
    share, weight = numpy.zeros(len(features)), numpy.zeros(len(features))
    for page in pages:
        share[page["rows"]] = page["share"]
        # Every page counts alike, and in a page a block by its length.
        weight[page["rows"]] = (page["sizes"] + 0.5) / (page["gold_size"] + 0.15 * page["sizes"].sum() + 60)
        if not page["gold"]:
            weight[page["rows"]] *= 0.3
        if page["set"].endswith("-thin"):
            weight[page["rows"]] *= THIN_WEIGHT
    return features, pages, share, weight / weight.mean()


def forget_names(features, pages, names):
    """The pages once more, each without most kinds of hints from class and id: sites name their parts in words that no table has."""
    hints = numpy.array([i for i, name in enumerate(names) if re.fullmatch(r"near (?!itemprop)[a-z]+", name)])
    random = numpy.random.default_rng(5)
    features = features.copy()
    for page in pages:
        features[page["rows"], hints[random.random(len(hints)) < FORGOTTEN]] = FAR
    return features


def train(both, share, weight, options, used):
    """Trains on the pages used and on them without names, on a sample in which heavy blocks are kept and light ones stand for others like them."""
    random = numpy.random.default_rng(1)
    cut = options.sample_weight
    features = numpy.concatenate([some[used] for some in both])
    share, weight = numpy.tile(share[used], 2), numpy.concatenate([weight[used], FORGOTTEN_WEIGHT * weight[used]])
    chance = numpy.minimum(1.0, weight / cut)
    kept = random.random(len(weight)) < chance
    data = lightgbm.Dataset(features[kept], share[kept], weight=(weight / chance)[kept])
    parameters = {
        "objective": "cross_entropy",
        "learning_rate": options.rate,
        "num_leaves": options.leaves,
        "min_data_in_leaf": 40,
        "lambda_l2": 5.0,
        "feature_fraction": 0.4,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "max_bin": 127,
        "seed": 1,
        "deterministic": True,
        "num_threads": 2,
        "verbose": -1,
    }
    return lightgbm.train(parameters, data, options.trees)


def choose(page, probabilities):
    """`choose::leave_out_hidden`, then `choose::take`: the threshold where the F to be expected is greatest."""
    sizes, hidden = page["sizes"], page["hidden"]
    if not len(probabilities):
        return numpy.zeros(0, bool)
    right = sizes * probabilities
    if right[hidden].sum() <= right[~hidden].sum():
        probabilities = numpy.where(hidden & page["short"], 0.0, probabilities)
    order = numpy.argsort(-probabilities, kind="stable")
    taken = numpy.cumsum(sizes[order])
    right = numpy.cumsum((sizes * probabilities)[order])
    best = numpy.argmax(right / (taken + BETA2 * right[-1] + 1e-9))
    threshold = min(max(probabilities[order[best]], LEAST), probabilities.max())
    taken = (probabilities >= threshold) & (probabilities > 0)
    for at in range(len(taken) - 2, -1, -1):
        taken[at] |= taken[at + 1] and page["heading"][at] and probabilities[at] >= HEADING
    places = numpy.nonzero(taken)[0]
    for before, after in zip(places[:-1], places[1:]):
        if after - before <= GAP + 1:
            gap = slice(before + 1, after)
            taken[gap] = page["structure"][gap] & (probabilities[gap] >= IN_GAP)
    return taken


def score(page, taken):
    got = collections.Counter()
    for at in numpy.nonzero(taken)[0]:
        got.update(page["blocks"][at])
    have, want = sum(got.values()), sum(page["gold"].values())
    if not have or not want:
        return float(have == want)
    return 2 * sum(min(count, page["gold"][key]) for key, count in got.items()) / (have + want)


def report(pages, probabilities):
    scores = collections.defaultdict(list)
    for page in pages:
        if page["set"].endswith("-thin"):
            continue
        value = score(page, choose(page, probabilities[page["rows"]]))
        scores[page["set"]].append(value)
        if page["kind"] != page["set"]:
            scores[page["set"] + " " + page["kind"]].append(value)
    for name in sorted(scores):
        print(f"{name:28} F1 {numpy.mean(scores[name]):.4f}  ({len(scores[name])} pages)")


def write_model(model, names, path, note):
    lines = [f"# {line}" for line in note]

    def walk(node, depth):
        if "leaf_value" in node:
            lines.append(" " * depth + f"{node['leaf_value']:.4g}")
            return
        lines.append(" " * depth + f"{names[node['split_feature']]} <= {node['threshold']:.5g}")
        walk(node["left_child"], depth + 1)
        walk(node["right_child"], depth + 1)

    for tree in model.dump_model()["tree_info"]:
        walk(tree["tree_structure"], 0)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def fold_of(site, count):
    return int(hashlib.md5(site.encode()).hexdigest(), 16) % count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path, help="folder with <name>.gold.jsonl.gz")
    parser.add_argument("blocks", type=pathlib.Path, help="folder that dump_blocks wrote")
    parser.add_argument("--sets", nargs="+", default=["wcxb-dev", "zh-news", "zh-charset"], help="each with its -thin")
    parser.add_argument("--model", type=pathlib.Path, help="where to write the model of all pages")
    parser.add_argument("--folds", type=pathlib.Path, help="where to leave the models of the folds")
    parser.add_argument("--count", type=int, default=5, help="number of folds; 0 for no cross-validation")
    parser.add_argument("--trees", type=int, default=300)
    parser.add_argument("--leaves", type=int, default=24)
    parser.add_argument("--rate", type=float, default=0.06)
    parser.add_argument("--sample-weight", type=float, default=0.5, help="blocks lighter than this are sampled")
    parser.add_argument("--without", default="", help="a set to leave out of training, and score all the same")
    options = parser.parse_args()

    features, pages, share, weight = read_all(options.data, options.blocks, [name + thin for name in options.sets for thin in ("", "-thin")])
    names = (options.blocks / "features.txt").read_text(encoding="utf-8").splitlines()
    fold = numpy.zeros(len(features), int)
    used = numpy.ones(len(features), bool)
    for page in pages:
        page["fold"] = fold_of(page["site"], max(options.count, 1))
        fold[page["rows"]] = page["fold"]
        used[page["rows"]] = not options.without or not page["set"].startswith(options.without)
    both = features, forget_names(features, pages, names)
    note = [
        f"{options.trees} trees of {options.leaves} leaves by scripts/train_extraction.py on {', '.join(options.sets)}.",
        "See model.rs for how to read this file.",
    ]
    if options.count:
        probabilities = numpy.zeros(len(features))
        for k in range(options.count):
            model = train(both, share, weight, options, used & (fold != k))
            probabilities[fold == k] = model.predict(features[fold == k])
            if options.folds:
                options.folds.mkdir(parents=True, exist_ok=True)
                write_model(model, names, options.folds / f"{k}.txt", [*note, f"Without fold {k}."])
        if options.folds:
            (options.folds / "folds.json").write_text(json.dumps({page["url"]: page["fold"] for page in pages}))
        loss = -(weight * (share * numpy.log(probabilities + 1e-9) + (1 - share) * numpy.log(1 - probabilities + 1e-9))).mean()
        print(f"cross-validation, {options.count} folds by site: loss {loss:.4f}")
        report(pages, probabilities)
    if options.model:
        write_model(train(both, share, weight, options, used), names, options.model, note)


if __name__ == "__main__":
    main()
