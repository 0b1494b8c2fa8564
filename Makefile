# Every command that a person or CI runs. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The event of `make run`, and the Rust target of the artefact when it is not this machine's own.
EVENT ?= events/guardduty-s3-exfiltration.json
TARGET ?=

# Events that others published, with a manifest of what is in them: other people's, and so not in this repository.
CORPUS_DIR ?=

# Of the commands for a deployed stack: its name, the bucket of a drill and its Region (without it the stack's), no for an
# event that does not name the bucket, and what to replay. Account, profile and the stack's Region are those of the AWS CLI.
STACK ?= lightsail-key-responder
BUCKET ?=
REGION ?=
BUCKET_NAMED ?= yes
FROM ?=
TO ?=
ARCHIVE ?=
QUEUE ?=
DROP_RECORDS ?= no

# How long to fuzz, and the payload of `make fuzz-one`.
SECONDS ?= 60
INPUT ?=

# Of `make simulate`: the seed of one incident to replay, or how many to play, from which seed.
SEED ?=
SEQUENCES ?= 100000
FROM_SEED ?= 1000000

# Of `make bench`: how often each program is started cold.
STARTS ?= 64

# Of `make search-figures`: how long the simulator takes for each answer, and how many buckets a Region has.
LATENCY_MS ?= 50
BUCKETS ?= 20

# One environment of Python for each list in tests/requirements: of the tests, of checkers whose pins conflict with those of
# the tests, and of the benchmark. Every package is installed as it is listed, by the hash of its file, and none runs a build
# of its own.
VENV := .venv/test
PYTHON := $(VENV)/bin/python
CHECKERS := .venv/checkers
BENCH_TOOLS := .venv/bench
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r
TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
ARTEFACT := $(TARGET_DIR)/$(if $(TARGET),$(TARGET)/)release/bootstrap
DIST := dist

# Whoever builds the artefact gets the same bytes, wherever checkout, target directory and cargo's home are: panic messages
# name files, and the compiler would write their whole paths into it. The last one that fits wins.
CARGO_HOME_DIR := $(or $(CARGO_HOME),$(HOME)/.cargo)
REMAP := --remap-path-prefix=$(CARGO_HOME_DIR)=/cargo --remap-path-prefix=$(CURDIR)=/build \
  --remap-path-prefix=$(TARGET_DIR)=/build/target

# Tools of others, by version and with what their own lock files name.
TOOLS := $(TARGET_DIR)/tools
CFN_GUARD := $(TOOLS)/cfn-guard-3.2.1/bin/cfn-guard
CARGO_DENY := $(TOOLS)/cargo-deny-0.20.2/bin/cargo-deny

# What counts instructions and system calls: those on the PATH, or else the system's own packages, unpacked. One version for
# each of Debian 12, Debian 13 and Ubuntu 24.04. A package that is unpacked has to be told where its parts are.
COUNTERS := $(TOOLS)/counters
VALGRIND ?= $(or $(shell command -v valgrind),$(COUNTERS)/usr/bin/valgrind.bin)
STRACE ?= $(or $(shell command -v strace),$(COUNTERS)/usr/bin/strace)
COUNTERS_ENV := $(if $(findstring $(COUNTERS),$(VALGRIND)),VALGRIND_LIB=$(COUNTERS)/usr/libexec/valgrind)

# The programs of `make bench` are a workspace of their own, as Lightsail's SDK comes with other features there; and each is
# built alone, so that none gets the features of another.
BENCH := $(TARGET_DIR)/bench
BENCH_BUILD := --manifest-path tests/bench/Cargo.toml --target-dir $(BENCH) --locked

# The fuzz target is a workspace of its own as well.
FUZZ := $(TARGET_DIR)/fuzz
CARGO_FUZZ := $(FUZZ)/tools/bin/cargo-fuzz
FUZZ_BUILD := --fuzz-dir tests/fuzz --target-dir $(FUZZ)/build --sanitizer none

# Packages are always built together: alone, one would ask for fewer features of the crates that they share, and
# Lightsail's very large SDK would be compiled once more.
CARGO_ALL := --workspace --locked

# The tests speak to loopback only; nothing of the caller's AWS settings reaches a child process.
export AWS_EC2_METADATA_DISABLED := true
export SAM_CLI_TELEMETRY := 0

.PHONY: help run simulator artefact package sbom reproducible deny advisories build test fmt lint doc test-rust test-simulator test-infra \
  test-e2e test-cost bench-programs bench-stand events invoke replay drill status corpus bench bench-reading \
  search-figures dashboard-picture fuzz fuzz-one

help: ## List the targets
	@grep -hE '^[a-zA-Z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-zA-Z-]+):.*## /  make \1|/' | column -t -s '|'

run: $(VENV)/.emulator ## Let an alert kill a key, in AWS's Lambda runtime emulator and the simulator (EVENT=events/...)
	@echo "Building (the first time takes a few minutes, most of it Lightsail's SDK) ..."
	@cargo build $(CARGO_ALL) --bins
	@$(PYTHON) tests/e2e/run.py --bootstrap $(TARGET_DIR)/debug/bootstrap --simulator $(TARGET_DIR)/debug/lightsail-simulator $(EVENT)

simulator: ## Start the Lightsail simulator on 127.0.0.1:4599
	@cargo run $(CARGO_ALL) --bin lightsail-simulator -- --listen 127.0.0.1:4599

artefact: ## Build the release binary that gets deployed
	RUSTFLAGS="$(strip $(RUSTFLAGS) $(REMAP))" \
	  cargo build --release --locked --package lightsail-key-responder --bin bootstrap $(if $(TARGET),--target $(TARGET))

.PHONY: package sbom reproducible deny advisories
package: artefact sbom ## Pack the artefact as a zip for Lambda into dist/, with its bill of materials and SHA-256 sums
	python3 scripts/package.py --artefact $(ARTEFACT) --sbom $(DIST)/lightsail-key-responder.cdx.json --out $(DIST)

sbom: $(CHECKERS)/.tools ## List what the artefact is made of, as CycloneDX, into dist/
	@mkdir -p $(DIST)
	$(CHECKERS)/bin/python scripts/sbom.py --out $(DIST)/lightsail-key-responder.cdx.json

# The clone has what is committed, so nothing else may be there. Its target directory is its own. (`make` and not $(MAKE):
# `make --dry-run` would run that.)
reproducible: SECOND = $$clone/elsewhere/target/$(if $(TARGET),$(TARGET)/)release/bootstrap
reproducible: artefact ## Build the artefact once more, from a clone in another directory, and compare the bytes
	@test -z "$$(git status --porcelain -- src Cargo.toml Cargo.lock Makefile)" \
	  || { echo "src, Cargo.toml, Cargo.lock or Makefile have changes that are not committed" >&2; exit 2; }
	@clone=$$(mktemp -d) && trap 'rm -rf "$$clone"' EXIT && git clone --quiet . "$$clone/elsewhere" \
	  && env -u CARGO_TARGET_DIR -u MAKEFLAGS -u MAKELEVEL make -C "$$clone/elsewhere" artefact TARGET=$(TARGET) \
	  && sha256sum "$(ARTEFACT)" "$(SECOND)" && cmp "$(ARTEFACT)" "$(SECOND)" && echo "Both builds are the same bytes."

deny: $(CARGO_DENY) ## Check licences, versions and origins of the dependencies
	$(CARGO_DENY) --workspace --locked check --deny unmatched-skip --deny unnecessary-skip bans licenses sources

advisories: $(CARGO_DENY) ## Look the dependencies up among the known vulnerabilities; fetches the list of them
	$(CARGO_DENY) --workspace --locked check advisories

# What `sam build` calls; it says where the artefact goes.
build-ResponderFunction: artefact
	cp $(ARTEFACT) "$(ARTIFACTS_DIR)/bootstrap"

build: $(VENV)/.tools ## Build the deployable function with AWS SAM, without Docker
	$(VENV)/bin/sam build

# The suites in Python use one processor each, so two run side by side. The output of each comes when it has ended.
test: fmt lint doc test-rust ## Run all tests
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-e2e test-infra test-simulator

# The first time compiles cfn-guard and cargo-deny.
.PHONY: audit
audit: test-release test-cost ## Check what a release is made of, and the templates with the checkers of others

fmt: ## Check the formatting
	cargo fmt --all --check
	cargo fmt --manifest-path tests/bench/Cargo.toml --all --check
	rustfmt --edition 2024 --check tests/fuzz/payload.rs

lint: ## Run clippy; warnings are errors
	cargo clippy $(CARGO_ALL) --all-targets -- -D warnings
	cargo clippy $(BENCH_BUILD) --release --package stand --package floor --package reading --all-targets -- -D warnings

doc: ## Build the documentation; warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_ALL) --no-deps

test-rust: ## Run unit tests, the suites integration and process, the simulation, and the simulator's own tests
	cargo test $(CARGO_ALL)

# One incident with the build of the tests, many with an optimised one. The same seed gives the same trace in both.
.PHONY: simulate
simulate: ## Play incidents in simulated time (SEQUENCES=100000 FROM_SEED=..., or SEED=... to replay one)
ifneq ($(SEED),)
	@cargo build --quiet $(CARGO_ALL) --bins
	@$(TARGET_DIR)/debug/simulate --seed "$(SEED)"
else
	@cargo build --locked --package responder-simulation --profile simulation
	@$(TARGET_DIR)/simulation/simulate --sequences "$(SEQUENCES)" --from "$(FROM_SEED)"
endif

.PHONY: mutants
mutants: ## Break the function in several ways, and show that the simulation finds each
	python3 tests/crates/simulation/mutants.py --target $(TARGET_DIR)/mutants

test-simulator: $(VENV)/.tools ## Hold the simulator against AWS's own clients and model, and the mutants against the sources
	cargo build $(CARGO_ALL) --bins
	LIGHTSAIL_SIMULATOR_BIN=$(TARGET_DIR)/debug/lightsail-simulator $(PYTHON) -m pytest tests/crates

test-e2e: $(VENV)/.tools artefact ## Run the built function under AWS's Lambda runtime emulator, and the whole flow in moto
	cargo build $(CARGO_ALL) --bins
	LIGHTSAIL_SIMULATOR_BIN=$(TARGET_DIR)/debug/lightsail-simulator RESPONDER_BOOTSTRAP=$(TARGET_DIR)/debug/bootstrap \
	  RESPONDER_ARTEFACT=$(ARTEFACT) $(PYTHON) -m pytest tests/e2e

# Tests that need tools of others.
RELEASE_TESTS := tests/infra/test_checkers.py tests/infra/test_package.py

test-infra: $(VENV)/.tools artefact ## Check the templates with AWS's tools, and that Lambda can run the artefact
	RESPONDER_ARTEFACT=$(ARTEFACT) $(PYTHON) -m pytest tests/infra $(RELEASE_TESTS:%=--ignore=%)

.PHONY: test-release
test-release: $(VENV)/.tools $(CHECKERS)/.tools $(CFN_GUARD) $(CARGO_DENY)
test-release: artefact ## Check the templates with checkov, cfn-guard and parliament, and what a release is made of
	RESPONDER_ARTEFACT=$(ARTEFACT) CHECKERS_PYTHON=$(CHECKERS)/bin/python CFN_GUARD=$(CFN_GUARD) CARGO_DENY=$(CARGO_DENY) \
	  $(PYTHON) -m pytest $(RELEASE_TESTS)

# Counts of a cold start that do not depend on how busy the machine is.
test-cost: $(VENV)/.tools $(STRACE) $(VALGRIND) artefact bench-stand ## Hold the cost of a cold start: handshakes, system calls, memory, instructions
	cargo test $(BENCH_BUILD) --release --package stand
	RESPONDER_ARTEFACT=$(ARTEFACT) BENCH_STAND=$(BENCH)/release/stand STRACE=$(STRACE) VALGRIND=$(VALGRIND) $(COUNTERS_ENV) \
	  $(PYTHON) -m pytest tests/bench

# These are not tests: they may take the credentials of the machine that they run on.
invoke replay drill status: export AWS_EC2_METADATA_DISABLED := false

events: ## List the sample events with their outcomes
	@python3 scripts/events.py

invoke: $(VENV)/.tools ## Send an event to the deployed function (EVENT=events/... STACK=...)
	@$(PYTHON) scripts/invoke.py --stack "$(STACK)" "$(EVENT)"

replay: $(VENV)/.tools ## Send alerts once more (QUEUE=failures or alerts; or FROM=... TO=... ARCHIVE=alerts, default or records)
	@$(PYTHON) scripts/replay.py --stack "$(STACK)" $(if $(QUEUE),--queue "$(QUEUE)") $(if $(ARCHIVE),--archive "$(ARCHIVE)") \
	  $(if $(FROM),--from "$(FROM)") $(if $(TO),--to "$(TO)") $(if $(filter yes,$(DROP_RECORDS)),--drop-records)

drill: $(VENV)/.tools ## Let the deployed function revoke a throw-away key (BUCKET=... REGION=... STACK=... BUCKET_NAMED=no)
	@test -n "$(BUCKET)" || { echo "BUCKET is missing: a bucket with at most one key" >&2; exit 2; }
	@$(PYTHON) scripts/drill.py --stack "$(STACK)" --bucket "$(BUCKET)" $(if $(REGION),--region "$(REGION)") \
	  $(if $(filter no,$(BUCKET_NAMED)),--not-named)

status: $(VENV)/.tools ## List what is switched off at the deployed stack (STACK=...)
	@$(PYTHON) scripts/status.py --stack "$(STACK)"

corpus: $(VENV)/.tools ## Read published events, match the rules with them, and compare with their manifest (CORPUS_DIR=...)
	@test -n "$(CORPUS_DIR)" || { echo "CORPUS_DIR is missing: a directory with events and their manifest.tsv" >&2; exit 2; }
	@cargo build --quiet $(CARGO_ALL) --examples
	@$(TARGET_DIR)/debug/examples/corpus "$(CORPUS_DIR)"
	@CORPUS_DIR="$(CORPUS_DIR)" $(PYTHON) -m pytest -q tests/infra/test_rules.py -k published

bench: $(BENCH_TOOLS)/.tools $(VALGRIND) $(STRACE) artefact bench-stand bench-programs
bench: ## Measure cold starts beside naive Rust, boto3 and the floor, and warm alerts; write docs/performance (STARTS=64)
	$(COUNTERS_ENV) python3 tests/bench/bench.py --artefact $(ARTEFACT) --naive $(BENCH)/release/naive \
	  --floor $(BENCH)/floor/floor --python $(BENCH_TOOLS)/bin/python --stand $(BENCH)/release/stand --valgrind $(VALGRIND) \
	  --strace $(STRACE) --starts $(STARTS) --report docs/performance.md --data $(BENCH)/figures.json
	$(BENCH_TOOLS)/bin/python tests/bench/picture.py $(BENCH)/figures.json docs/performance.svg

bench-stand:
	cargo build $(BENCH_BUILD) --release --package stand

bench-programs:
	cargo build $(BENCH_BUILD) --release --package naive
	cargo build $(BENCH_BUILD) --profile floor --package floor

bench-reading: ## Measure how long reading takes, by kind and size of the alert
	@# By the variable, and not only by the option: Criterion looks for the place of its results there.
	CARGO_TARGET_DIR=$(BENCH) cargo bench $(BENCH_BUILD) --package reading --bench reading -- --noplot

# With an optimised simulator: it shares the processors with the function, and its work would count as latency.
search-figures: $(VENV)/.emulator artefact ## Measure how long a search takes, in round trips (LATENCY_MS=50 BUCKETS=20)
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	  cargo build --release --locked --package lightsail-simulator --target-dir $(TARGET_DIR)/simulator
	@$(PYTHON) tests/e2e/search_figures.py --bootstrap $(ARTEFACT) \
	  --simulator $(TARGET_DIR)/simulator/release/lightsail-simulator --latency-ms $(LATENCY_MS) --buckets $(BUCKETS)

dashboard-picture: $(VENV)/.emulator $(BENCH_TOOLS)/.tools artefact ## Draw docs/dashboard.svg from runs against the simulator
	cargo build $(CARGO_ALL) --bins
	@$(PYTHON) scripts/dashboard_data.py --bootstrap $(ARTEFACT) --simulator $(TARGET_DIR)/debug/lightsail-simulator \
	  $(TARGET_DIR)/dashboard.json
	@$(BENCH_TOOLS)/bin/python scripts/dashboard_picture.py $(TARGET_DIR)/dashboard.json docs/dashboard.svg

$(COUNTERS)/usr/bin/valgrind.bin:
	tests/bench/debian.sh $(COUNTERS) valgrind=1:3.19.0-1,1:3.24.0-3,1:3.22.0-0ubuntu3

$(COUNTERS)/usr/bin/strace:
	tests/bench/debian.sh $(COUNTERS) libunwind8=1.6.2-3,1.6.2-3build1 strace=6.1-0.1,6.13+ds-1,6.8-0ubuntu2

fuzz: $(CARGO_FUZZ) ## Fuzz the reading of alerts (SECONDS=60); needs a C++ compiler
	@mkdir -p $(FUZZ)/corpus $(FUZZ)/seeds $(FUZZ)/findings
	@cp events/*.json $(FUZZ)/seeds/
	@if test -n "$(CORPUS_DIR)"; then find "$(CORPUS_DIR)" -name '*.json' -exec cp -t $(FUZZ)/seeds {} +; fi
	$(CARGO_FUZZ) run $(FUZZ_BUILD) payload $(FUZZ)/corpus $(FUZZ)/seeds -- -dict=tests/fuzz/members.dict \
	  -max_len=4096 -max_total_time=$(SECONDS) -artifact_prefix=$(FUZZ)/findings/ -print_final_stats=1

fuzz-one: $(CARGO_FUZZ) ## Give one payload to the fuzz target (INPUT=...)
	$(CARGO_FUZZ) run $(FUZZ_BUILD) payload "$(INPUT)"

$(CARGO_FUZZ):
	cargo install cargo-fuzz --version 0.13.2 --locked --root $(FUZZ)/tools

# Compiled, because what PyPI has is of 2023 and not enough (npm has neither). The binding cfn-guard-rs 0.3.3 raises an error
# instead of a report where 6 of our rules fail. cargo-deny 0.14.2 knows neither [graph] nor Unicode-3.0, nor the lint
# unnecessary-skip. Not optimised: they run for a second, and are compiled in a minute and not in six.
$(CFN_GUARD):
	cargo install cfn-guard --version 3.2.1 --locked --debug --root $(TOOLS)/cfn-guard-3.2.1

$(CARGO_DENY):
	cargo install cargo-deny --version 0.20.2 --locked --debug --root $(TOOLS)/cargo-deny-0.20.2

# `make run` needs one file of one wheel, so it does not wait for the rest. The list of that wheel is a part of test.txt.
$(VENV)/.emulator: tests/requirements/test.txt
	@echo "Installing AWS's Lambda runtime emulator into $(VENV) ..."
	@test -x $(PYTHON) || python3 -m venv $(VENV)
	@sed -n '/^aws-sam-cli==/,/[^\\]$$/p' $< | $(PYTHON) $(PIP_INSTALL) /dev/stdin
	@touch $@

$(VENV)/.tools: $(VENV)/.emulator

.venv/%/.tools: tests/requirements/%.txt
	@echo "Installing $< into $(@D) ..."
	@test -x $(@D)/bin/python || python3 -m venv $(@D)
	@$(@D)/bin/python $(PIP_INSTALL) $<
	@$(@D)/bin/python -m pip check --quiet
	@touch $@
