# `make help` lists the targets. Everything happens in .venv; nothing needs root.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
RUN_STAMP := $(VENV)/.run-stamp
DEV_STAMP := $(VENV)/.dev-stamp
# `python -m` finds docgen/; the variable leaves out an advertisement of the theme.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs

.DEFAULT_GOAL := help
.PHONY: help demo test fuzz test-matrix check docs docs-serve format protos contract-baseline constraints notices hooks serve train model-eval bench-admit bench-cut bench-load clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(RUN_STAMP)

demo: $(RUN_STAMP) ## Set up, then the main job: publish, judge, block, cut, refuse
	$(BIN)/edge-gate demo

train: | $(BIN)/python ## Train the detector anew from ../shared/data (hours; resumes where it stopped)
	$(PYTHON) -m venv .venv-train
	.venv-train/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[train,plots]'
	.venv-train/bin/python -m models.train --compare

model-eval: $(DEV_STAMP) ## The shipped models: unseen figures with intervals beside their goals, then the live pipeline on ../shared/data
	$(BIN)/python -m models.train.report
	$(BIN)/python -m models.train.fights
	$(BIN)/python -m models.sound_report
	$(BIN)/python -m models.sight_report
	$(BIN)/edge-gate model evaluate ../shared/data --calm ../shared/data/long-calm
	$(BIN)/edge-gate model evaluate ../shared/data/sounds/sounds.csv --apart game --apart fireworks --apart film

serve: $(RUN_STAMP) ## Set up, then run the sidecar with its defaults
	$(BIN)/edge-gate serve

test: $(DEV_STAMP) ## Set up, then all tests
	$(BIN)/python -m pytest

fuzz: $(DEV_STAMP) ## Fuzz every parser and a contained worker, for SECONDS (120)
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),120)

# The interpreters of pyenv go first: its shims answer for versions that are not switched on, and then fail.
PYENV := $(subst $() ,:,$(wildcard $(HOME)/.pyenv/versions/3.1[123].*/bin))
test-matrix: $(DEV_STAMP) ## The tests without real servers on Python 3.11, 3.12 and 3.13, those that are installed
	PATH="$(PYENV):$$PATH" $(BIN)/python -m nox --no-error-on-missing-interpreters

check: $(DEV_STAMP) ## ruff, mypy --strict, contract, generated code and notices up to date, documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python protos/generate.py --check
	$(BIN)/buf lint
	$(BIN)/buf breaking --against protos/v1.binpb
	$(BIN)/python -m docgen.notices --check
	$(MKDOCS) build --strict --quiet

docs: $(DEV_STAMP) ## Build the documentation into site/
	$(MKDOCS) build --strict

docs-serve: $(DEV_STAMP) ## Show the documentation at http://127.0.0.1:8000 while you write it
	$(MKDOCS) serve --strict

format: $(DEV_STAMP) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

protos: $(DEV_STAMP) ## Regenerate edge/contract/gen from protos/
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python protos/generate.py

contract-baseline: $(DEV_STAMP) ## After additions to the contract: later changes must not break these, either
	$(BIN)/buf breaking --against protos/v1.binpb
	$(BIN)/buf build --exclude-source-info --path protos/edge/gate --path protos/edge/operator --path protos/edge/share \
	    --output protos/v1.binpb

constraints: | $(BIN)/python ## Resolve constraints.txt anew; UPGRADE=--upgrade takes the newest versions
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --no-annotate $(UPGRADE) \
	    --extra dev --extra bench --custom-compile-command "make constraints" --output-file constraints.txt pyproject.toml

notices: $(DEV_STAMP) ## Write THIRD_PARTY_NOTICES.md from the installed packages
	$(BIN)/python -m docgen.notices

hooks: $(DEV_STAMP) ## Check every commit before it is made
	$(BIN)/pre-commit install

bench-admit: $(DEV_STAMP) ## Latency of Admit under load
	$(BIN)/python -m benchmarks admit

bench-cut: $(DEV_STAMP) ## Time to cut, reference ingest (and nginx-rtmp: SERVER=nginx-rtmp)
	$(BIN)/python -m benchmarks cut --server $(or $(SERVER),reference)

bench-load: $(DEV_STAMP) ## Streams that this machine holds in budget, on footage of yours: SOURCE=footage.mp4
	$(BIN)/python -m benchmarks load --find-capacity --plot latency.svg --source "$(or $(SOURCE),$(error SOURCE=footage.mp4 is missing))"

clean: ## Remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
