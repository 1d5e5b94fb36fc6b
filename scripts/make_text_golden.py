#!/usr/bin/env python3
"""Writes fixtures/golden/text/: what `transformers` makes of chat templates and of our own tokenizer files.

usage: make_text_golden.py [--tokenize BINARY] [--extra DIR --out FILE]      (pip install transformers==5.23.0 jinja2 pyarrow)

`chat_templates.jsonl`: one case a line: template, messages, options, the rendered text, and the assistant's spans in bytes where
the template has generation tags. Templates: our two built-in ones, and those below, written for this test, which use the
features that published templates use (loops with neighbours, namespaces, macros, tojson, strftime_now, string methods, slices).
`encodings.jsonl`: texts and their ids by AutoTokenizer from `tokenizer/`, a directory in the layout that our `tokenize` writes, trained
on sentences made of fixtures/facts/countries.tsv: by our binary with --tokenize, otherwise, where there is none yet, by the Python
library. `tokenizer_config.json` says which: only ours has a `training` record.

With --extra, every *.jinja of DIR is rendered instead and the cases go to FILE; point TEXT_GOLDEN at FILE to run the Rust test
on them. So parity is also checked on templates that are not ours to copy.
"""
import argparse
import datetime
import json
import pathlib
import sys

import transformers.utils.chat_template_utils as chat

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "fixtures" / "golden" / "text"
NOW = datetime.datetime(2024, 2, 29, 12, 34, 56)  # UTC; the Rust test sets the same instant

TOOL = {"type": "function", "function": {"name": "get_height", "description": "Height of a mountain, in metres: <m> & 'feet'",
        "parameters": {"type": "object", "properties": {"name": {"type": "string"}, "中文": {"type": "boolean", "default": True}},
                       "required": ["name"]}}}
CALL = {"role": "assistant", "content": "", "tool_calls": [
    {"type": "function", "function": {"name": "get_height", "arguments": {"name": "珠穆朗玛峰", "unit": "m", "limit": 1.5, "n": None}}}]}

CONVERSATIONS = {
    "one_en": [{"role": "user", "content": "What is the capital of France?"}, {"role": "assistant", "content": "Paris"}],
    "one_zh": [{"role": "user", "content": "中国最高的山是什么?"}, {"role": "assistant", "content": "珠穆朗玛峰"}],
    "number_zh": [{"role": "user", "content": "水的沸点是多少摄氏度?"}, {"role": "assistant", "content": "100"}],
    "system": [{"role": "system", "content": "Be brief.\n"}, {"role": "user", "content": "  Hi \n"}, {"role": "assistant", "content": "Hello! "}],
    "turns": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "你好!有什么可以帮你?"},
              {"role": "user", "content": "1 + 1 = ?"}, {"role": "assistant", "content": "2\n\n```py\nprint(\"<b>\")\n```"},
              {"role": "user", "content": "谢谢 & bye 😀"}, {"role": "assistant", "content": "不客气"}],
    "open": [{"role": "user", "content": "Name a river."}],
    "think": [{"role": "user", "content": "2*3?"}, {"role": "assistant", "content": "<think>\ntwice three\n</think>\n\n6"},
              {"role": "user", "content": "*2?"}, {"role": "assistant", "content": "<think>\ndouble\n</think>\n\n12"}],
    "tools": [{"role": "user", "content": "How high is 珠穆朗玛峰?"}, CALL, {"role": "tool", "content": "{\"height\": 8848.86}"},
              {"role": "assistant", "content": "8848.86 m"}],
    "empty": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}],
}

TEMPLATES = {
    "headers": """{{- bos_token }}
{%- if tools is defined and tools is not none %}
    {{- '<<sys>>Tools:\\n' }}
    {%- for tool in tools %}
        {{- tool | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- "Today is " + strftime_now("%d %b %Y") + ".\\n" }}
{%- for message in messages %}
    {%- if message.tool_calls is defined and message.tool_calls %}
        {%- for call in message.tool_calls %}
            {%- set call = call.function %}
            {{- '<<assistant>>{"name": "' + call.name + '", "parameters": ' }}{{ call.arguments | tojson }}{{- '}<<end>>' }}
        {%- endfor %}
    {%- else %}
        {{- '<<' + message['role'] + '>>' + message['content'] | trim + '<<end>>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<<assistant>>' }}
{%- endif %}
""",
    "brackets": """{% if messages[0]['role'] == 'system' %}
    {% set system_message = messages[0]['content'].strip() + '\\n\\n' %}
    {% set loop_messages = messages[1:] %}
{% else %}
    {% set system_message = '' %}
    {% set loop_messages = messages %}
{% endif %}
{% for message in loop_messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {% endif %}
    {% if loop.first %}{% set content = system_message + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}
    {% if message['role'] == 'user' %}
{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
    {% elif message['role'] == 'assistant' %}
        {% generation %}
{{ ' ' + content | trim + ' ' + eos_token }}
        {% endgeneration %}
    {% endif %}
{% endfor %}
""",
    "thoughts": """{%- set ns = namespace(last_query=messages|length - 1, found=false) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if message.role == "user" and not ns.found %}
        {%- set ns.found = true %}
        {%- set ns.last_query = index %}
    {%- endif %}
{%- endfor %}
{%- macro head(role) %}<|im_start|>{{ role }}
{% endmacro %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == "assistant" %}
        {%- set thought = '' %}
        {%- if '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- head('assistant') }}
        {%- generation -%}
        {%- if loop.index0 > ns.last_query and thought -%}
            {{ '<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' }}
        {%- endif -%}
        {{ content + '<|im_end|>' }}
        {%- endgeneration -%}
        {{- '\\n' }}
    {%- else %}
        {{- head(message.role) + content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- head('assistant') }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "odds": """{%- for m in messages if m.role != 'tool' -%}
{{ loop.index }}/{{ loop.length }} {{ m.role | upper }} {{ m.role.title() }} {{ m.content[:3] }}|{{ m.content[-2:] }}|{{ m.content | length }}
{% if loop.previtem is defined and loop.previtem.role == m.role %}again{% endif %}
{% if not loop.last %}{{ '-' * 3 }} {{ none }} {{ true }} {{ 1.0 }} {{ 7 // 2 }} {{ 7 / 2 }} {{ 2 ** 3 }}
{% else %}{% break %}{% endif %}
{%- endfor %}
{{ ['a', 'b'] | join(', ') }} {{ {'k': [1, 2.5, 'é"']} | tojson(ensure_ascii=true) }} {{ messages | map(attribute='role') | list | tojson }}
{{ (messages | selectattr('role', 'equalto', 'user') | list)[0].content.replace('?', '!').startswith('W') }}
{% for k, v in {'b': 1, 'a': 2}.items() %}{{ k }}={{ v }};{% endfor %}
{{ 'x' if tools else 'y' }} {{ documents is none }} {{ missing is defined }} {{ messages[0].get('content', 'z') | replace(' ', '_') }}""",
}


# The single values of column `scores` (`crates/handoff/src/schema.rs`).
SCORES = ["units", "word_length", "symbols", "bullet_lines", "ellipsis_lines", "alphabetic", "stop_words", "line_punctuation", "short_lines",
          "newlines", "duplicate_lines", "duplicate_line_chars", "duplicate_paragraphs", "duplicate_paragraph_chars", "sentences",
          "removed_words", "pii", "model_language", "model_quality"]


def install_clock():
    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return NOW
    chat.datetime = Clock


def byte_spans(text, spans):
    return [[len(text[:a].encode()), len(text[:b].encode())] for a, b in spans if b > a]


def case(name, source, conversation, messages, **options):
    tagged = "generation" in source and "endgeneration" in source
    row = {"template": name, "conversation": conversation, "source": source, "bos": "<|endoftext|>", "eos": "<|endoftext|>",
           "messages": messages, "options": options}
    kwargs = dict(options)
    kwargs.update(bos_token=row["bos"], eos_token=row["eos"])
    try:
        texts, spans = chat.render_jinja_template([json.loads(json.dumps(messages))], chat_template=source,
                                                  return_assistant_tokens_mask=tagged, **kwargs)
        row["text"] = texts[0]
        if tagged:
            row["spans"] = byte_spans(texts[0], spans[0])
    except Exception as error:  # a template that refuses must be refused by us too
        row["error"] = str(error)
    return row


def cases(templates):
    for name, source in templates.items():
        for conversation, messages in CONVERSATIONS.items():
            for prompt in (False, True):
                if prompt and messages[-1]["role"] == "assistant":
                    continue
                yield case(name, source, conversation, messages, add_generation_prompt=prompt)
        yield case(name, source, "tools+list", CONVERSATIONS["tools"], add_generation_prompt=False, tools=[TOOL])
        yield case(name, source, "one_en+variable", CONVERSATIONS["one_en"][:1], add_generation_prompt=True, enable_thinking=False)


def write(path, rows):
    rows = list(rows)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    refused = sum("error" in row for row in rows)
    print(f"{path}: {len(rows)} lines, {refused} of them refused by the template", file=sys.stderr)


TEXTS = ["", " ", "The capital of France is Paris.", "中国最高的山是珠穆朗玛峰,海拔8848.86米。", "  two  spaces\n\n\tand tabs \r\n", "naïve café — “quotes” 😀👩‍👩‍👧 end",
         "日本語とカタカナ 한국어 русский عربي हिन्दी", "it's 1234567 don't WE'LL", "<|endoftext|> spelled out", "a\u200db\u0301c\ufeffd\u00a0e", "x" * 70,
         "㐀𠀀〇々 mixed中文and English混排", "http://example.com/?q=%E4%B8%AD&n=10#top", "\u0000\u0001\u007f\u0080\uffff"]


def training_texts():
    import csv

    with (ROOT / "fixtures" / "facts" / "countries.tsv").open(encoding="utf-8") as lines:
        rows = list(csv.reader((line for line in lines if not line.startswith("#")), delimiter="\t"))
    texts = [(f"{a} and {b} are told of here; see {c}. ", "en") for a, b, c, *_ in rows]
    texts += [("、".join(row) + "。", "zh-Hans") for row in rows]
    return texts + [(text, "und") for text in TEXTS]


def train_in_python():
    """The layout of our files, trained by the Python library."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    names = ["endoftext", "pad", "system", "user", "assistant", "tool", "im_start", "im_end"] + [f"reserved_{i}" for i in range(8)]
    tokenizer = Tokenizer(models.BPE())
    pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\p{Han}"), "isolated"), pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(f"<|{name}|>", normalized=False, special=True) for name in names]
    tokenizer.train_from_iterator((t for t, _ in training_texts()), trainers.BpeTrainer(
        vocab_size=768, min_frequency=2, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    directory = GOLDEN / "tokenizer"
    directory.mkdir()
    tokenizer.save(str(directory / "tokenizer.json"))
    template = (ROOT / "crates" / "text" / "src" / "templates" / "plain.jinja").read_text(encoding="utf-8")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>",
              "pad_token": "<|pad|>", "clean_up_tokenization_spaces": False, "chat_template": template}
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def train_tokenizer(binary):
    """Documents as Parquet, then our binary on them; its tokenizer/ replaces the golden one."""
    import shutil
    import subprocess
    import tempfile

    import pyarrow
    import pyarrow.parquet

    texts = training_texts()
    n = len(texts)
    utf8, i64 = pyarrow.string(), pyarrow.int64()
    columns = {"id": [f"{i:032x}" for i in range(n)], "url": [""] * n, "text": [t for t, _ in texts], "language": [l for _, l in texts],
               "source": ["facts"] * n, "title": [None] * n, "date": [None] * n, "source_offset": [None] * n, "charset": [None] * n,
               "charset_source": [None] * n, "replaced_chars": [0] * n, "language_score": [1.0] * n,
               "num_chars": [len(t) for t, _ in texts], "num_bytes": [len(t.encode()) for t, _ in texts], "payload_digest": [None] * n}
    scores = pyarrow.struct([(name, pyarrow.float64()) for name in SCORES]
                            + [pyarrow.field(name, pyarrow.list_(pyarrow.field("item", pyarrow.float64(), nullable=False)), nullable=False)
                               for name in ("top_ngrams", "duplicate_ngrams")])
    columns["scores"] = pyarrow.nulls(n, scores)
    types = {"scores": scores, "source_offset": i64, "replaced_chars": i64, "num_chars": i64, "num_bytes": i64, "language_score": pyarrow.float32()}
    schema = pyarrow.schema([pyarrow.field(name, types.get(name, utf8)) for name in columns],
                            metadata={"schema": "documents", "schema_version": "2"})
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "documents").mkdir()
        pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), folder / "documents" / "facts.parquet")
        (folder / "golden.toml").write_text('run = "golden"\nseed = 0\n[stage.tokenize]\ninputs = ["documents"]\nvocab_size = 768\n')
        subprocess.run([binary, "--config", folder / "golden.toml", "--run", folder / "run", "-q"], check=True)
        shutil.rmtree(GOLDEN / "tokenizer", ignore_errors=True)
        shutil.copytree(folder / "run" / "tokenize" / "tokenizer", GOLDEN / "tokenizer")


def encodings(directory):
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(directory)
    plain = AutoTokenizer.from_pretrained(directory, split_special_tokens=True)
    for text in TEXTS:
        ids = plain(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        parsed = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(parsed) == text, text
        yield {"text": text, "ids": ids, "ids_parsing_special": parsed}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", type=pathlib.Path, help="directory of *.jinja to render instead")
    parser.add_argument("--out", type=pathlib.Path, help="where their cases go")
    parser.add_argument("--tokenize", type=pathlib.Path, help="our binary, to train the golden tokenizer again")
    args = parser.parse_args()
    install_clock()
    if args.extra:
        write(args.out, cases({p.stem: p.read_text(encoding="utf-8") for p in sorted(args.extra.glob("*.jinja"))}))
        return
    built_in = ROOT / "crates" / "text" / "src" / "templates"
    templates = {p.stem: p.read_text(encoding="utf-8") for p in sorted(built_in.glob("*.jinja"))}
    templates.update(TEMPLATES)
    GOLDEN.mkdir(parents=True, exist_ok=True)
    write(GOLDEN / "chat_templates.jsonl", cases(templates))
    if args.tokenize:
        train_tokenizer(args.tokenize.resolve())
    elif not (GOLDEN / "tokenizer").is_dir():
        train_in_python()
    write(GOLDEN / "encodings.jsonl", encodings(GOLDEN / "tokenizer"))


if __name__ == "__main__":
    main()
