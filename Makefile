# Every command that a person or CI runs. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The event of `make run`, and the Rust target of the artefact when it is not this machine's own.
EVENT ?= events/guardduty-s3-exfiltration.json
TARGET ?=

VENV := .venv
PYTHON := $(VENV)/bin/python
TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
ARTEFACT := $(TARGET_DIR)/$(if $(TARGET),$(TARGET)/)release/bootstrap

# Packages are always built together: alone, one would ask for fewer features of the crates that they share, and
# Lightsail's very large SDK would be compiled once more.
CARGO_ALL := --workspace --locked

# The tests speak to loopback only; nothing of the caller's AWS settings reaches a child process.
export AWS_EC2_METADATA_DISABLED := true
export SAM_CLI_TELEMETRY := 0

.PHONY: help run simulator artefact build test fmt lint doc test-rust test-simulator test-runtime test-template

help: ## List the targets
	@grep -hE '^[a-zA-Z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-zA-Z-]+):.*## /  make \1|/' | column -t -s '|'

run: $(VENV)/.emulator ## Let an alert kill a key, in AWS's Lambda runtime emulator and the simulator (EVENT=events/...)
	@echo "Building (the first time takes a few minutes, most of it Lightsail's SDK) ..."
	@cargo build $(CARGO_ALL) --bins
	@$(PYTHON) tests/emulator/run.py --bootstrap $(TARGET_DIR)/debug/bootstrap --simulator $(TARGET_DIR)/debug/lightsail-simulator $(EVENT)

simulator: ## Start the Lightsail simulator on 127.0.0.1:4599
	@cargo run $(CARGO_ALL) --bin lightsail-simulator -- --listen 127.0.0.1:4599

artefact: ## Build the release binary that gets deployed
	cargo build --release --locked --package lightsail-key-responder --bin bootstrap $(if $(TARGET),--target $(TARGET))

# What `sam build` calls; it says where the artefact goes.
build-ResponderFunction: artefact
	cp $(ARTEFACT) "$(ARTIFACTS_DIR)/bootstrap"

build: $(VENV)/.tools ## Build the deployable function with AWS SAM, without Docker
	$(VENV)/bin/sam build

test: fmt lint doc test-rust test-simulator test-runtime test-template ## Run all checks and tests

fmt: ## Check the formatting
	cargo fmt --all --check

lint: ## Run clippy; warnings are errors
	cargo clippy $(CARGO_ALL) --all-targets -- -D warnings

doc: ## Build the documentation; warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_ALL) --no-deps

test-rust: ## Run the unit tests, and the integration tests over the simulator
	cargo test $(CARGO_ALL)

test-simulator: $(VENV)/.tools ## Hold the simulator against AWS's own clients and model
	cargo build $(CARGO_ALL) --bins
	LIGHTSAIL_SIMULATOR_BIN=$(TARGET_DIR)/debug/lightsail-simulator $(PYTHON) -m pytest tests/simulator/tests

test-runtime: $(VENV)/.tools artefact ## Run the built function under AWS's Lambda runtime emulator
	cargo build $(CARGO_ALL) --bins
	LIGHTSAIL_SIMULATOR_BIN=$(TARGET_DIR)/debug/lightsail-simulator RESPONDER_BOOTSTRAP=$(TARGET_DIR)/debug/bootstrap \
	  RESPONDER_ARTEFACT=$(ARTEFACT) $(PYTHON) -m pytest tests/emulator

test-template: $(VENV)/.tools artefact ## Check the template with AWS's own tools, and the artefact that it deploys
	RESPONDER_ARTEFACT=$(ARTEFACT) $(PYTHON) -m pytest tests/deployment

# `make run` needs one file of one wheel, so it does not wait for the rest.
$(VENV)/.emulator: tests/requirements-emulator.txt
	@echo "Installing AWS's Lambda runtime emulator into $(VENV) ..."
	@test -x $(PYTHON) || python3 -m venv $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@touch $@

$(VENV)/.tools: tests/requirements.txt $(VENV)/.emulator
	@echo "Installing the test tools into $(VENV) ..."
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@
