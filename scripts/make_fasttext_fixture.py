#!/usr/bin/env python3
"""Makes fixtures/fasttext/: two tiny models in fastText's own formats, and what fastText itself says of a few lines.

`topic.bin` is a supervised model as trained, `topic.ftz` the same quantized. Needs the Python package fasttext (or fasttext-wheel).
Training with one thread is repeatable, so running this again gives the same files on the same kind of machine.
"""

import json
import pathlib
import random

import fasttext

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "fasttext"
# Words of three made-up topics in two languages; a line is a random handful of one topic's words.
TOPICS = {
    "good": "river valley history explains because measured mountain language research village 河流 历史 研究 因为 语言 山谷".split(),
    "spam": "cheap discount casino click bonus winner free offer 优惠 点击 免费 中奖 下载".split(),
    "code": "return import function class lambda array pointer compile 函数 变量 编译".split(),
}
LINES = ["the river valley and its history", "click for a cheap casino bonus", "点击 免费 下载", "历史 研究 因为 语言", "return the array pointer",
         "nothing that it knows"]


def main() -> None:
    dice = random.Random(1)
    lines = [f"__label__{topic} {' '.join(dice.choices(words, k=8))}" for topic, words in TOPICS.items() for _ in range(120)]
    dice.shuffle(lines)
    FOLDER.mkdir(parents=True, exist_ok=True)
    train = FOLDER / "train.txt"
    train.write_text("\n".join(lines) + "\n", encoding="utf-8")
    model = fasttext.train_supervised(str(train), dim=8, epoch=8, lr=0.5, bucket=300, wordNgrams=2, minn=2, maxn=3, thread=1, seed=1)
    expected = {}
    for name in ("topic.bin", "topic.ftz"):
        if name.endswith("ftz"):
            model.quantize(input=str(train), retrain=False, dsub=2)
        model.save_model(str(FOLDER / name))
        # The package's own predict() needs an older numpy; what it wraps does not.
        found = {line: {label: probability for probability, label in model.f.predict(line + "\n", 3, 0.0, "strict")} for line in LINES}
        expected[name] = found
    train.unlink()
    (FOLDER / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
