# One command each for what people do here. Every target makes the environment it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# On a terminal, pip shows its progress; elsewhere that would only fill a log.
QUIET := $(shell test -t 2 || echo --quiet)
LOCKED = $(BIN)/python -m pip install $(QUIET) --require-hashes --no-deps --only-binary :all:

.PHONY: help milvus-server catalogues demo demo-training demo-web test test-nightly test-fast check format proto proto-check client client-check openapi openapi-check docs docs-check plans manual evaluate bench bench-gpu check-gpu overload training-load console-load screenshots training-bars speed-bars soak chaos supply-chain sbom lock fuzz dist clean bench-call bench-servers

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# Every file that is installed is one whose hash the lock names: pip first, then the rest, then this checkout. Nothing is
# compiled, since what a build fetches would be checked by nobody.
define INSTALL
	@echo "Installing about $$(grep -c '^[a-z].*==' $(1)) packages of $(1) into $(VENV): this takes minutes." >&2
	$(PYTHON) -m venv $(VENV)
	sed -n '/^pip==/,/[^\]$$/p' $(1) > $(VENV)/pip.lock
	$(LOCKED) --requirement $(VENV)/pip.lock
	$(LOCKED) --requirement $(1)
	$(BIN)/python -m pip install $(QUIET) --no-deps --no-build-isolation --editable client --editable .
	@touch $@
endef

$(STAMP): pyproject.toml client/pyproject.toml requirements.lock
	$(call INSTALL,requirements.lock)

# What the demos run, without the tools of developers; where those are installed, the demos use the same environment.
$(VENV)/.installed-%: pyproject.toml client/pyproject.toml requirements-%.lock
	$(call INSTALL,requirements-$*.lock)

LESS = $(if $(wildcard $(STAMP)),$(STAMP),$(VENV)/.installed-$(1))

demo: $(call LESS,demo) ## fetch models and photos, enrol about 40 people, search, draw the result
	$(BIN)/python examples/demo.py --out demo-output

demo-training: $(call LESS,cpu) ## make a course, have 20 simulated trainees take it over the API, write reports and exports
	$(BIN)/python examples/demo_training.py --out demo-output/training

demo-web: $(call LESS,cpu) ## start a server with the console, the people of the demo and a course; PORT=8080
	$(BIN)/python examples/demo_web.py --port $(or $(PORT),8080)

# Tests run side by side, each process with one thread for arithmetic. They wait for half their time, so there are twice
# as many processes as processors, and one more. Those marked `alone` measure time, and follow.
PYTEST = $(BIN)/python -m pytest
PROCESSES ?= $(shell expr 2 \* $$(nproc) + 1)
MEASURES = $(shell grep -rlE --include='test_*.py' 'mark.alone|@alone_at_night' tests)
BOTH = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
  $(PYTEST) --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder -m 'not alone$(1)' $(2); \
  status=$$?; $(PYTEST) -m 'alone$(1)' $(2) $(MEASURES) && exit $$status

test: $(STAMP) ## every test with few repetitions, those with real models included
	$(call BOTH)

test-nightly: $(STAMP) ## every test with all its repetitions, and those that take minutes: more than an hour in all
	FR_NIGHTLY=1; export FR_NIGHTLY; $(call BOTH,,-rP --timeout=7200)

milvus-server: $(STAMP) ## the server that tests of Milvus start: 58 MB, for Linux on x86-64
	$(LOCKED) --requirement tests/milvus.lock

test-fast: $(STAMP) ## the tests without models
	$(call BOTH, and not models and not slow and not network)

check: $(STAMP) proto-check client-check openapi-check docs-check supply-chain ## format, lint, types, layers, messages, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_messages.py

LANGUAGES ?=
catalogues: $(STAMP) ## bring the catalogues up to date with the English one; LANGUAGES=it makes that of a new language
	$(BIN)/python tools/catalogues.py update $(LANGUAGES)

format: $(STAMP) ## format the source
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	cd proto && ../$(BIN)/buf format -w

proto: $(STAMP) ## generate proto/gen from proto/fr_api
	$(BIN)/python tools/generate.py proto

proto-check: $(STAMP) ## buf lint, buf format, and proto/gen against regeneration
	cd proto && ../$(BIN)/buf lint && ../$(BIN)/buf format --diff --exit-code
	$(BIN)/python tools/generate.py proto --check

client: $(STAMP) ## translate the asynchronous client to the synchronous one
	$(BIN)/python tools/generate.py client

client-check: $(STAMP) ## the synchronous client against translation
	$(BIN)/python tools/generate.py client --check

openapi: $(STAMP) ## write the OpenAPI document of the HTTP interface
	$(BIN)/python tools/generate.py openapi

openapi-check: $(STAMP) ## the OpenAPI document against regeneration
	$(BIN)/python tools/generate.py openapi --check

docs: $(STAMP) ## write the generated pages of docs/
	$(BIN)/python tools/generate.py docs

docs-check: $(STAMP) ## the generated pages of docs/ against regeneration
	$(BIN)/python tools/generate.py docs --check

# The plans that LFW is to be enough for, and the one for the studio set.
TESTDATA ?= $(or $(FR_TESTDATA),../shared/testdata)
LFW_PLANS = taster-90 half-day one-day two-day three-day self-paced
plans: $(STAMP) ## what pixels, colours and foils tell in every shipped plan, beside the bars; some minutes
	$(BIN)/fr models fetch buffalo_s
	$(BIN)/fr train check $(LFW_PLANS) --dataset lfw --root $(TESTDATA)/lfw --bar
	$(BIN)/fr train check taster-90 --dataset london --root $(TESTDATA)/london --most 0.8 --bar

evaluate: $(STAMP) ## accuracy on the shared test data
	$(BIN)/fr evaluate

manual: $(STAMP) ## write the manual of good practice in all languages into dist/, as web pages to print
	$(BIN)/python tools/check_lessons.py --manual --html dist

# What bench-gpu measures: `make bench-gpu DEVICE=cpu PACK=buffalo_s` runs the same commands without a GPU.
DEVICE ?= cuda
PACK ?= buffalo_l
PHOTOS ?= lfw
ON_GPU := $(filter cuda% tensorrt%,$(DEVICE))
PRECISION ?= $(if $(ON_GPU),fp16,f32)
NUMBER ?= $(if $(ON_GPU),20000,200)
CONCURRENCY ?= $(if $(ON_GPU),256,8)
GENERATORS ?= $(if $(ON_GPU),4,1)
FRONTENDS ?= $(if $(ON_GPU),8)
BAR ?= $(if $(ON_GPU),2500)
# Indexes, each of which is measured.
INDEX ?= $(if $(ON_GPU),gpu cuvs int8,compact)
TEMPLATES ?= $(if $(ON_GPU),10000000,1000000)
# Another environment, such as one with fr-core[gpu]: `make bench-gpu FR=/opt/fr/bin/fr`.
FR ?= $(BIN)/fr
# A folder with model files, where they cannot be downloaded: `make bench-gpu MODELS=models`.
MODELS ?=
# Where the measurements of bench-gpu go instead of benchmarks/results.
OUT ?=
TO = $(if $(OUT),--out $(OUT))
ENGINE = --pack $(PACK) --device $(DEVICE) --precision $(PRECISION) --photos $(PHOTOS) --number $(NUMBER)

# The graphs beside which searches are measured; `make bench PEERS=flat,hnswlib,usearch` once bench-peers is installed.
PEERS ?= flat,usearch

bench: $(STAMP) ## speed on this machine's processor, beside InsightFace; to benchmarks/results
	$(BIN)/fr models fetch buffalo_s
	$(BIN)/fr bench pipeline --photos $(PHOTOS) --peer insightface
	$(BIN)/fr bench pipeline --photos t1 --peer insightface
	$(BIN)/fr bench pipeline --photos t1 --peer insightface --detection thorough --precision f32
	$(BIN)/fr bench search --n 1000000 --index compact --peer flat --sweep 10000,100000
	$(BIN)/fr bench search --n 100000 --index compact --peer $(PEERS)
	$(BIN)/fr bench video
	$(BIN)/fr bench search --n 1000000 --index compact --photos lfw
	$(BIN)/fr bench serve --photos t1 --number 100 --concurrency 16 --peer insightface --ratio-to-pipeline
	$(BIN)/fr bench serve --photos $(PHOTOS) --number 600 --concurrency 16 --peer insightface --ratio-to-pipeline \
	  --sweep 1,2,4,8,16,32

PARTS ?= lfw t1 stream large groups search
speed-bars: $(STAMP) ## compare the main figures of speed with their bars, on two idle processors; PARTS="t1 groups" for some
	$(BIN)/fr models fetch buffalo_s
	$(BIN)/python tools/speed_bars.py --parts $(PARTS)

bench-call: $(STAMP) ## what one Search costs a secured server; AGAINST=PYTHON of another checkout measures both in turn
	$(BIN)/fr models fetch buffalo_s
	$(BIN)/python -m fr_bench.speed.call_cost --photos $(if $(AGAINST),--against $(AGAINST))

bench-servers: $(STAMP) ## searches/s of 1, 2 and 3 servers on one PostgreSQL, all on this machine
	$(BIN)/fr models fetch buffalo_s
	PYTHONPATH=tests $(BIN)/python tools/bench_servers.py

bench-gpu: $(if $(filter $(BIN)/fr,$(FR)),$(STAMP)) ## speed on a GPU, of buffalo_l unless PACK says otherwise; to benchmarks/results
	$(FR) models fetch $(PACK) $(if $(MODELS),--from $(MODELS))
	$(FR) bench pipeline $(ENGINE) $(TO)
	set -e; for index in $(INDEX); do \
	  $(FR) bench search --n $(TEMPLATES) --index $$index $(if $(ON_GPU),--concurrency 256) $(TO); done
	$(FR) bench serve $(ENGINE) $(TO) --concurrency $(CONCURRENCY) --generators $(GENERATORS) --batches --ratio-to-pipeline \
	  --set server.max_in_flight=1024 $(if $(FRONTENDS),--frontends $(FRONTENDS)) $(if $(BAR),--bar $(BAR))
	$(if $(filter cuda%,$(DEVICE)),$(FR) bench serve $(ENGINE) $(TO) --concurrency $(CONCURRENCY) --generators $(GENERATORS) \
	  --set server.max_in_flight=1024 --set model.nhwc=true $(if $(FRONTENDS),--frontends $(FRONTENDS)))

check-gpu: $(if $(filter $(BIN)/fr,$(FR)),$(STAMP)) ## all that needs a GPU, in ten minutes: libraries, tests, accuracy, speed
	$(dir $(FR))python tools/check_gpu.py --fr $(FR) --device $(DEVICE) --pack $(PACK) --photos $(PHOTOS) \
	  $(if $(MODELS),--models $(MODELS))

# With the server's own defaults a photo costs so much that the generator beside it takes a twentieth of the machine; with
# the fast setting it takes an eighth, which then is missing from the goodput.
overload: $(STAMP) ## a minute of real models at five times their peak; figures only
	$(BIN)/fr models fetch buffalo_s
	$(BIN)/fr bench serve --photos t1 --detection thorough --precision f32 --number 60 --repeat 3 \
	  --overload 5 --seconds 60 --out build/overload

training-load: $(STAMP) ## a minute of 500 trainees on a server with models
	$(BIN)/fr models fetch buffalo_s
	$(BIN)/fr bench training --trainees 500 --every 2 --seconds 60 --bar

console-load: $(STAMP) ## a minute of 60 trainees with browsers, on the console of a server with models
	$(BIN)/fr models fetch buffalo_s
	$(BIN)/fr bench training --web --trainees 60 --every 5 --seconds 60 --bar

screenshots: $(STAMP) ## take the pictures of the console that README and guides show; needs chromium
	PYTHONPATH=tests:examples $(BIN)/python tools/screenshots.py docs/images

TRAINEES ?= 500
training-bars: $(STAMP) ## what training claims, beside its bars; minutes, or TRAINEES=100 for a look
	PYTHONPATH=tests $(BIN)/python tools/training_bars.py --trainees $(TRAINEES)

MINUTES ?= 10
soak: $(STAMP) ## a server with models under load for 10 minutes, after 15 of warm-up; MINUTES=60 for growth that is slower
	$(BIN)/fr models fetch buffalo_s
	PYTHONPATH=tests $(BIN)/python tools/soak.py --minutes $(MINUTES)

ROWS ?=
chaos: $(STAMP) ## everything that is to go wrong, long versions; writes docs/reliability.md; LIGHT=1, ROWS="kill crowd"
	$(BIN)/fr models fetch buffalo_s
	$(BIN)/python tools/chaos.py $(if $(LIGHT),--light) $(ROWS)

supply-chain: $(STAMP) ## licences of everything installed, and known vulnerabilities of everything locked
	$(BIN)/python tools/check_licences.py
	$(BIN)/python tools/check_vulnerabilities.py

sbom: $(STAMP) ## what the environment and the model packs are made of, as CycloneDX; to build/sbom.cdx.json
	$(BIN)/python tools/write_sbom.py build/sbom.cdx.json

# `make lock` keeps the versions that still fit, `make lock UPGRADE=1` chooses the newest. uv leaves pip out unless it is
# asked for. The environment of the targets here runs on three versions of Python, the image for GPUs has one.
COMPILE = $(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url \
  $(if $(UPGRADE),--upgrade) --no-emit-package fr-client pyproject.toml -
lock: $(STAMP) ## choose versions, and write their hashes: requirements.lock, and those of the demo and the images
	echo pip | $(COMPILE) --universal --python-version 3.11 --extra cpu --extra dev --extra insightface \
	  --output-file requirements.lock
	echo pip | $(COMPILE) --universal --python-version 3.11 --extra build --extra cpu --extra postgres --extra report --extra tracing --extra web \
	  --constraint requirements.lock --output-file requirements-cpu.lock
	echo pip | $(COMPILE) --universal --python-version 3.11 --extra build --extra cpu --constraint requirements.lock \
	  --output-file requirements-demo.lock
	echo pip | $(COMPILE) --python-version 3.12 --python-platform x86_64-manylinux_2_28 \
	  --extra build --extra gpu --extra postgres --extra report --extra tracing --extra web --output-file requirements-gpu.lock
	printf 'check-jsonschema\nhelm-python-sdk\nkubernetes-validate\npyyaml\n' | $(BIN)/uv pip compile --quiet --universal \
	  --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url $(if $(UPGRADE),--upgrade) - \
	  --output-file deploy/tools.lock

# Every run decodes some of them in tests/fault/test_mutants.py. Those that fail come to build/fuzz.
COUNT ?= 1000000
SEED ?= 20
fuzz: $(STAMP) ## a million damaged photos through the decoder; COUNT and SEED say how many and which
	$(BIN)/python tools/fuzz_decode.py mutants --count $(COUNT) --seed $(SEED)
	$(BIN)/python tools/fuzz_decode.py sandboxed --count $$(($(COUNT) / 10)) --seed $(SEED)

# The wheel of fr-core comes from its source distribution, so that it takes fr-client from an index: hatch_build.py.
dist: $(STAMP) ## source distributions and wheels of fr-client and fr-core, to dist
	cd client && ../$(BIN)/hatchling build --directory ../dist
	$(BIN)/hatchling build --target sdist --directory dist
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist dist/fr_core-*.tar.gz

clean: ## remove what the targets made
	rm -rf $(VENV) demo-output build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
