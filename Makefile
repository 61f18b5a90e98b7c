BIN := .venv/bin
PYTHON ?= python3

# Where this is set, as in many containers, each process would compile every library anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo up test test-comfyui sabotage lint docs lock bench bench-inflight listeners outages bench-engine calibrate effects clean install install-dev failpoints chaos hooks test-train install-train photos fuzz audit sbom images containers upgrade load

help:  ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: install  ## show all six tools at work, on our photos or PHOTOS=folder of yours
	@$(BIN)/packshot demo $(if $(PHOTOS),--photos "$(PHOTOS)")

up: install  ## run the whole house in this terminal
	@$(BIN)/packshot up

test: install-dev  ## run the tests on real servers
	@rm -rf var/coverage && mkdir -p var/coverage
	@$(BIN)/coverage run -m pytest -n $(or $(WORKERS),3) --dist loadfile --no-loadscope-reorder
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --format=total > /dev/null || { $(BIN)/coverage report; exit 1; }

test-comfyui: install-dev  ## run the GPU handlers against the ComfyUI at COMFYUI_URL
	@COMFYUI_URL=$(or $(COMFYUI_URL),http://127.0.0.1:8188) $(BIN)/python -m pytest tests/handlers/comfyui/live.py \
		tests/handlers/comfyui/live_cost.py -q -s

test-train: install-train  ## train for real, on tiny bases and a CPU; and in the ComfyUI at COMFYUI_URL if you name one; figures into var/train
	@COMFYUI_URL=$(COMFYUI_URL) .venv-train/bin/python -m pytest tests/handlers/train/live*.py -q -s

sabotage: install-dev  ## remove each guard in turn and see the tests go red, or GUARD=name; into var/sabotage/latest.json
	@GUARD="$(GUARD)" $(BIN)/python -m tests.sabotage

failpoints: install-dev  ## try every fault at every point in a job's life, or those named by ONLY=words,words
	@ONLY="$(ONLY)" EVERY=$(EVERY) SEED=$(SEED) $(BIN)/python -m tests.failpoints.all

lint: install-dev  ## check form, types and the arrows between rooms
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

upgrade: install-dev  ## run the code of the last tag, or of FROM=commit, on our schema, beside ours; into var/upgrade/latest.json
	@FROM="$(FROM)" $(BIN)/python -m benchmarks.upgrade

load: install-dev  ## submit 20 jobs and poll 200 times a second for 300 s, or SECONDS=n, into var/load/latest.json
	@SECONDS_LONG=$(SECONDS) $(BIN)/python -m benchmarks.pressure

images: install-dev  ## do what the Dockerfiles do, without Docker: each image's packages and rooms in an empty folder
	@$(BIN)/python -m scripts.images $(IMAGES)

containers: install-dev  ## run docker-compose.yml's house from its images' folders, read-only and without rights; into var/containers/latest.json
	@$(BIN)/python -m benchmarks.containers

docs: install-dev  ## build the docs site, and say where to open it
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "The docs are built. Open var/site/index.html; or, with a search, http://127.0.0.1:8000 after"
	@echo "  $(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory var/site"

lock: install-dev  ## compile the locks anew
	@$(COMPILE) --extra gpu --extra embedded pyproject.toml -o requirements.lock
	@$(COMPILE) -c requirements.lock pyproject.toml -o requirements-server.lock
	@$(COMPILE) --extra gpu -c requirements.lock pyproject.toml -o requirements-gpu.lock
	@$(COMPILE) --extra worker -c requirements.lock pyproject.toml -o requirements-worker.lock
	@$(COMPILE) --extra gpu --extra embedded --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	@env $(CPU_TORCH) $(COMPILE_LINUX) --extra train --extra worker --extra embedded --extra dev -c requirements-dev.lock \
		pyproject.toml -o requirements-train.lock
	@$(COMPILE_LINUX) --extra train --extra worker -c requirements-worker.lock \
		pyproject.toml -o requirements-train-gpu.lock

# For each Python and machine there is another PyTorch. That of the tests is built for the CPU, and lies where pip is
# told to look, or in PyTorch's own index; that of the image brings CUDA with it.
CPU_TORCH = $(if $(PIP_FIND_LINKS),UV_FIND_LINKS=$(PIP_FIND_LINKS),UV_TORCH_BACKEND=cpu)

COMPILE_LINUX = $(subst --universal,--python-platform x86_64-manylinux_2_28,$(COMPILE))
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate

chaos: install-dev  ## kill all that runs, at random, under JOBS jobs: KILLS times, by SEED; into var/chaos/SEED.json
	@JOBS=$(JOBS) KILLS=$(KILLS) SEED=$(SEED) $(BIN)/python -m tests.chaos

hooks: install-dev  ## kill the sender of webhooks between send and mark, while JOBS jobs end; into var/hooks/latest.json
	@JOBS=$(JOBS) EVERY=$(EVERY) $(BIN)/python -m tests.hooks

audit: install-dev  ## look for what is known to be unsafe in our code, in CI and in the packages of every lock
	@$(BIN)/python scripts/audit.py

sbom: install-dev  ## write down what each lock is made of, as CycloneDX, into var/sbom
	@$(BIN)/python -m scripts.sbom

fuzz: install-dev  ## ask the API 10,000 strange things and more, EXAMPLES=250 each, by SEED; into var/fuzz/latest.json
	@EXAMPLES=$(EXAMPLES) SEED=$(SEED) $(BIN)/python -m tests.fuzz

bench: install-dev  ## measure, into var/bench/latest.json
	@$(BIN)/python -m benchmarks.bench

bench-inflight: install-dev  ## measure N jobs at RunPod at once, WEBHOOKS=on, off or both, into var/bench-inflight/latest.json
	@N=$(N) SECONDS_EACH=$(SECONDS_EACH) WEBHOOKS=$(WEBHOOKS) ROWS=$(ROWS) $(BIN)/python -m benchmarks.inflight

listeners: install-dev  ## hold N streams of events on one API while others poll it, into var/listeners/latest.json
	@N=$(N) $(BIN)/python -m benchmarks.listeners

outages: install-dev  ## stop, freeze and flush real servers, and measure, into var/outages/latest.json
	@$(BIN)/python -m benchmarks.outages

calibrate: install-dev  ## fit how sure the preview engine is of an outline, into var/calibrate/latest.json
	@$(BIN)/python -m benchmarks.calibrate && $(BIN)/python -m benchmarks.strangers

photos: install-dev  ## measure how well copies and blurred photos are told from others, into var/photos/latest.json
	@$(BIN)/python -m benchmarks.photos

bench-engine: install-dev  ## time the preview engine, into var/engine/latest.json
	@$(BIN)/python -m benchmarks.engine

effects: install-dev  ## measure what each parameter changes, into docs/effects.md and its picture
	@$(BIN)/python -m benchmarks.effects

clean:  ## remove what was made here, except the data in .local
	@rm -rf .venv .venv-train .bootstrap var *.egg-info .coverage .*_cache .hypothesis

install:
	@$(PYTHON) scripts/bootstrap.py

install-dev:
	@$(PYTHON) scripts/bootstrap.py --dev

install-train:
	@$(PYTHON) scripts/bootstrap.py --train
