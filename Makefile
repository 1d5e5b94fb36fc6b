# Verbs only; every target calls a binary, cargo or a script. `make` lists them.
PIPELINE ?= tiny
RUN      ?=
ARGS     ?=
BIN      := target/release
STAGES   := crawl-clean tokenize shard pretrain reverse-distill sft eval
CONFIG   := $(if $(wildcard $(PIPELINE)),$(PIPELINE),pipelines/$(PIPELINE).toml)
FLAGS    := --config $(CONFIG) $(if $(RUN),--run $(RUN)) $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help pipeline $(STAGES) build test lint bench fixtures libtorch clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  make <stage>         one stage on whatever is new: $(STAGES)"
	@echo "  variables            PIPELINE=tiny (a name in pipelines/ or a path)  RUN=dir  ARGS='--force -v'"

pipeline: build ## set up, build, and run PIPELINE= from crawl to answers
	$(BIN)/pipeline $(FLAGS)

# A stage called `eval` is a shell builtin by that name, so binaries are always called with their directory.
$(STAGES): build
	$(BIN)/$@ $(FLAGS)

build: libtorch ## release binaries in target/release/
	cargo build --release --workspace --bins

test: build ## all tests
	cargo test --release --workspace

lint: libtorch ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings

bench: libtorch ## benchmarks
	cargo bench --workspace --bench '*'
	scripts/bench_encode.sh
	scripts/bench_pretrain.sh
	scripts/bench_extraction.sh
	scripts/bench_cleaning.sh
	cargo build --release --workspace --bins --lib --examples
	target/release/examples/filter_speed
	target/release/examples/minhash_speed
	target/release/examples/language_accuracy

fixtures: ## make the embedded crawl again (needs Python packages; see fixtures/README.md)
	python3 scripts/make_fixtures.py

libtorch: ## libtorch into a per-user cache, once
	@scripts/libtorch.sh

clean: ## remove what was built and all runs
	cargo clean
	rm -rf runs
