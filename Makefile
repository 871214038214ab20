# One command each for what people do here. Every target makes the environment it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
GENERATED := proto/gen/fr_api/v1
TYPED := fr_core server/fr_server client/fr_client datasets/fr_datasets benchmarks/fr_bench examples tools tests

.PHONY: help demo test test-fast check format proto proto-check docs docs-check evaluate bench constraints clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[cpu,dev,insightface]'
	@touch $@

demo: $(STAMP) ## fetch models and photos, enrol about 40 people, search, draw the result
	$(BIN)/python examples/demo.py --out demo-output

test: $(STAMP) ## every test, those with real models included
	$(BIN)/python -m pytest

test-fast: $(STAMP) ## the tests without models
	$(BIN)/python -m pytest -m 'not models and not slow and not network'

check: $(STAMP) proto-check docs-check ## format, lint, types, layers, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## format the source
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	cd proto && ../$(BIN)/buf format -w

proto: $(STAMP) ## generate proto/gen from proto/fr_api
	$(BIN)/python tools/generate_proto.py proto/gen

proto-check: $(STAMP) ## buf lint, buf format, and proto/gen against regeneration
	cd proto && ../$(BIN)/buf lint && ../$(BIN)/buf format --diff --exit-code
	$(BIN)/python tools/generate_proto.py --check proto/gen

docs: $(STAMP) ## write the generated pages of docs/
	$(BIN)/python tools/generate_docs.py

docs-check: $(STAMP) ## the generated pages of docs/ against regeneration
	$(BIN)/python tools/generate_docs.py --check

evaluate: $(STAMP) ## accuracy on the shared test data
	$(BIN)/fr evaluate

bench: evaluate ## the measurements that this machine can make

constraints: $(STAMP) ## choose the newest versions that fit, for CI and for the targets here
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --upgrade --no-header --no-annotate --no-emit-index-url \
	  --extra cpu --extra dev --extra insightface pyproject.toml --output-file constraints.txt
	echo "pip==$$($(BIN)/python -m pip --version | cut -d' ' -f2)" >> constraints.txt

clean: ## remove what the targets made
	rm -rf $(VENV) demo-output build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
