# The interface of the project: `make help`. Settings are environment variables; `make run NAME=value` sets them too.
SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
CHECKED := bench examples export model_repository proxy reliability runtime tests
STAND_IN := build/stand-in/multilingual-MiniLM-L12
COMPOSE ?= docker compose
# What `make restart-ml` restarts; the last one is asked whether it is healthy.
RESTART ?= triton ml-inference
export COMPOSE PYTHON

.PHONY: help setup setup-dev run export reload search test test-chosen test-units test-models test-services test-compose check perf stand-in bench bench-quick \
	bench-peers where-time-goes accuracy scaling chaos overload fuzz soak lock clean build up-ml restart-ml reload-ml logs-ml status-ml down-ml

help: ## Show this help
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do printf '%-15s %s\n' "$$name" "$$text"; done

run: setup ## Set up, export the model where it is not there yet, start Triton and the proxy
	@exec $(BIN)/python -m runtime

setup: $(VENV)/run.installed ## Install what the service needs into .venv

export: setup ## Export MODEL at PRECISION to build/model_repository
	@$(BIN)/python -m export

reload: setup ## Export MODEL at PRECISION, and have the running service serve it without a refused request
	@$(BIN)/python -m export --if-needed
	@$(BIN)/python -m runtime.reload

test: setup-dev ## Run every test, those with a real Triton included; or TESTS=...
	@$(MAKE) --no-print-directory -j 2 --output-sync=target $(if $(TESTS),test-chosen,test-models test-services test-units)

test-chosen test-units test-models test-services:
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest $(PYTEST_$@)

# Two run side by side, the units once one of the others is done: those with services of their own wait for much.
PYTEST_test-chosen = $(TESTS)
PYTEST_test-units = tests/unit tests/contract
PYTEST_test-models = tests/integration -m models
PYTEST_test-services = tests/integration -m "not models"

test-compose: setup-dev ## Test the containers: build the images and run them; needs a Docker engine
	$(BIN)/python -m pytest tests/compose

check: setup-dev ## Format, lint, type check, known holes; hold the manifests against the Kubernetes schemas
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/contract/test_kubernetes*.py
	@requirements/audit.sh $(VENV) requirements/dev.lock

search: setup ## Ask ten Korean queries of the running service, and show which of 640 recipes they find
	@$(BIN)/python -m examples.korean_queries

perf: setup ## Measure the running ensemble with perf_analyzer, over HTTP and gRPC
	@$(BIN)/python -m runtime.perf

stand-in: setup-dev ## Write a stand-in model in the shape of the default one; run it with MODEL=build/stand-in/...
	@$(BIN)/python -m export.stand_in $(STAND_IN)

setup-dev: $(VENV)/dev.installed

$(VENV)/%.installed: requirements/%.lock requirements/install.sh
	@requirements/install.sh $(VENV) $<
	@touch $@

bench: setup-dev ## Measure against the original service and the peers that are installed; writes docs/benchmarks/
	@$(BIN)/python -m bench
	@$(BIN)/python -m bench --model multilingual-e5-small

bench-quick: setup-dev ## The same in short on the stand-in alone; writes build/bench/stand-in/quick/
	@$(BIN)/python -m bench --quick

bench-peers: ## Install the peers, each into an environment of its own, for `make bench`
	@$(PYTHON) -m bench.peers

where-time-goes: setup-dev ## Show where a query's time goes, part by part; writes docs/architecture.md and docs/benchmarks/
	@$(BIN)/python -m bench.where

accuracy: setup-dev ## Compare each precision with sentence-transformers on real weights; writes docs/benchmarks/
	@HF_HUB_OFFLINE=1 $(BIN)/python -m bench.accuracy

scaling: setup-dev ## Work out docs/scaling.md anew from one processor's results in docs/benchmarks/
	@$(BIN)/python -m bench.scaling --write

chaos: setup-dev ## Inject faults under load; writes docs/reliability.md; with SHORT=1 some minutes of it, build/reliability/ alone
	@$(BIN)/python -m reliability.chaos $(if $(SHORT),--short)

overload: setup-dev ## Send five times the load that is carried; writes docs/reliability.md; with SHORT=1 half a minute of it
	@$(BIN)/python -m reliability.overload $(if $(SHORT),--short)

fuzz: setup-dev ## Send bad input to the service and its parts; writes docs/reliability.md; with SHORT=1 a minute of it
	@HF_HUB_OFFLINE=1 $(BIN)/python -m reliability.fuzz $(if $(SHORT),--short)

soak: setup-dev ## Load the service for 30 minutes and see what grows; writes docs/reliability.md; with SHORT=1 some five
	@$(BIN)/python -m reliability.soak $(if $(SHORT),--short)

build: ## Build the images, and print their sizes
	@$(COMPOSE) build
	@docker/sizes.sh $(COMPOSE)

up-ml: ## Start the service in containers, and wait until it is healthy
	@$(COMPOSE) up -d
	@docker/wait-until-healthy.sh ml-inference $(COMPOSE)

restart-ml: ## Restart it, on another image or model where the settings say so; see README, "Upgrade and roll back"
	@$(COMPOSE) run --rm -T export
	@$(COMPOSE) up -d --no-deps --force-recreate $(RESTART)
	@docker/wait-until-healthy.sh $(lastword $(RESTART)) $(COMPOSE)

reload-ml: ## The same for a change of model or precision alone, without a refused request; see README
	@$(COMPOSE) run --rm -T export
	@$(COMPOSE) exec -T triton python -m runtime.reload

logs-ml: ## Follow its logs
	@$(COMPOSE) logs -f --tail=100

status-ml: ## Show its containers and its health
	@$(COMPOSE) ps
	@$(COMPOSE) exec -T ml-inference curl -sS http://localhost:8001/health && echo

down-ml: ## Stop it and remove its containers; with VOLUMES=1 its volumes, the exported models, too
	@$(COMPOSE) down --remove-orphans $(if $(VOLUMES),--volumes)

lock: ## Resolve the dependency groups of pyproject.toml into requirements/*.lock (needs uv)
	uv pip compile -q --upgrade $(LOCK_OPTIONS) --group run -o requirements/run.lock
	uv pip compile -q --upgrade $(LOCK_OPTIONS) --group dev -c requirements/run.lock -o requirements/dev.lock
	for role in proxy triton export; do \
		uv pip compile -q --upgrade $(LOCK_OPTIONS) --group $$role -c requirements/run.lock -o requirements/$$role.lock || exit; \
	done

LOCK_OPTIONS := --universal --fork-strategy fewest --python-version 3.10 --override requirements/overrides.txt \
	--no-emit-package torch --generate-hashes --no-annotate --no-header

clean: ## Remove everything that was made here: the environment, the exports, caches
	rm -rf $(VENV) build .hypothesis .mypy_cache .pytest_cache .ruff_cache
