# Two commands on a fresh machine with Python 3.11: `make demo` and `make test`.
# `make` alone lists what there is. Settings: VENV (folder of the environment), PYTHON.

VENV ?= .venv
ifndef PYTHON
PYTHON := $(shell for name in python3 python3.11 python3.12 python3.13; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
endif
UV := $(shell command -v uv 2>/dev/null)
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP = $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input --no-compile
WORKERS ?= 2

# One BLAS thread: results do not depend on the number of cores, and workers do not fight for them.
export OPENBLAS_NUM_THREADS := 1
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo serve stack test test-services test-long dashboards hostile lint bench bench-peers tradeoff validate stats scale kernels load chaos lock audit

help:
	@echo 'make demo    compare six reranking policies on simulated users (about 3 minutes)'
	@echo 'make serve   answer decisions and rewards over HTTP with two arms of the demo'
	@echo 'make stack   PostgreSQL, service, learner, Prometheus and simulated users side by side; faults and alerts (about 20 minutes)'
	@echo 'make test    run the tests'
	@echo 'make test-services  the tests that need Prometheus, docker-compose, Node and Chromium beside Python'
	@echo 'make test-long  run the tests that take minutes each: the wheel in a place of its own, runs that grow'
	@echo 'make dashboards  write the Grafana dashboards anew from their code'
	@echo 'make hostile  send 20,000 made-up requests to the service (some minutes)'
	@echo 'make lint    check style, types and layers'
	@echo 'make bench   measure speed against peers and limits of this machine (some minutes)'
	@echo 'make load    load the live service and hold it to its figures (about 15 minutes)'
	@echo 'make chaos   kill the live service and its database under load; nothing may be lost (about 30 minutes)'
	@echo 'make bench-peers  install the peers that make bench compares with, each in its own environment'
	@echo 'make tradeoff  clicks against variety against visits, with standard errors (about 6 minutes)'
	@echo 'make validate  the simulated users against stylised facts and acceptance tests (about 10 minutes)'
	@echo 'make stats   the statistical promises of experiments, by simulation (about 12 minutes)'
	@echo 'make scale   time and memory of runs from 1,000 to 100,000 users (some minutes)'
	@echo 'make lock    renew requirements.lock and requirements-image.lock (need uv)'
	@echo 'make audit   look for known weaknesses of the pinned requirements (needs uv, or pip-audit, and the network)'
	@echo
	@echo 'Real data: make demo fetches MovieLens latest-small if it can; MATINEE_DATA=FOLDER names your own.'

# Real data if they are set, fetched, or can be fetched within seconds; else the run draws some.
demo: $(STAMP)
	@[ -n "$$MATINEE_DATA" ] || \
	{ MATINEE_DATA=$$($(BIN)/matinee data fetch --if-possible --quiet) && export MATINEE_DATA; }; \
	$(BIN)/matinee simulate --config examples/demo.yaml --out runs/demo --overwrite

# Deploys two arms of the demo, after a small run of it if there is none, then serves on loopback.
SERVICE ?= service
serve: $(STAMP)
	@[ -f runs/demo/results.json ] || { echo 'There is no runs/demo yet: running a small one first.' && \
	$(BIN)/matinee simulate --config examples/demo.yaml --set users=2000 --out runs/demo --quiet >/dev/null; }
	@for arm in mf_order lin_ucb; do [ -f $(SERVICE)/bundles/$$arm/bundle.json ] || \
	$(BIN)/matinee deploy runs/demo:$$arm --to $(SERVICE) || exit 1; done
	@MATINEE_SERVICE_DATA_DIR=$(SERVICE) exec $(BIN)/matinee serve --config examples/serve.yaml

# docker-compose.yml without containers. STACK='--users 200 --no-faults' is shorter.
stack: $(STAMP) kernels
	@PYTHONPATH=benchmarks:dashboards $(BIN)/python -m stack $(STACK)

test: $(STAMP) kernels
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

# Programs beside Python, by Debian's names. Without Prometheus nothing of this can be said.
test-services: $(STAMP) kernels
	@missing=; for name in prometheus promtool docker-compose node npm chromium; do \
	command -v "$$name" >/dev/null || missing="$$missing $$name"; done; [ -z "$$missing" ] || \
	{ echo "make test-services needs programs that are not here:$$missing." \
	'On Debian: apt install prometheus docker-compose nodejs npm chromium' >&2; exit 1; }
	@$(BIN)/python -m pytest -q -m services -n $(WORKERS) --dist loadfile

test-long: $(STAMP) kernels
	@$(BIN)/python -m pytest -q -m long

# At least CASES requests made up from the OpenAPI document; none may be answered with 5xx.
CASES ?= 20000
hostile: $(STAMP)
	@MATINEE_HOSTILE_CASES=$(CASES) $(BIN)/python -m pytest -q tests/service/test_http_openapi.py

# All four speak, whatever the first one finds.
lint: $(STAMP)
	@status=0; for check in 'ruff check' 'ruff format --check' mypy 'lint-imports --no-logo'; do \
	$(BIN)/$$check || status=1; done; exit $$status

# Fourteen arms, 90 days, four seeds of the same 3,000 users each; resumes where it was stopped.
tradeoff: $(STAMP)
	@$(BIN)/matinee tradeoff --config examples/tradeoff.yaml --out runs/tradeoff --results docs/results.md

# Writes docs/validation.md and runs/validation/validation.html.
validate: $(STAMP)
	@$(BIN)/matinee validate --out runs/validation --results docs/validation.md

# On a run that is there, if RUN names one; else on one made up. RESULTS names a page for the table.
stats: $(STAMP) kernels
	@PYTHONPATH=benchmarks $(BIN)/python -m stats $(if $(RUN),--run $(RUN)) $(if $(RESULTS),--results $(RESULTS)) $(if $(ONLY),--only $(ONLY))

scale: $(STAMP)
	@$(BIN)/python benchmarks/scale.py

# Writes docs/benchmarks.md; peers that are not installed are named there.
bench: $(STAMP)
	@$(BIN)/python benchmarks/run_all.py --quick

# `make load SECONDS=600` measures longer; one alone: PYTHONPATH=benchmarks python -m load.overload
SECONDS ?= 20
load: $(STAMP) kernels
	@PYTHONPATH=benchmarks $(BIN)/python -m load --seconds $(SECONDS)

bench-peers: $(STAMP)
	@$(BIN)/python benchmarks/peers/install.py

# 100 kills of the log's writer on SQLite and 30 on PostgreSQL, 20 of the whole service and its
# learner on each, 30 of the learner alone, a minute without the database.
chaos: export PYTHONPATH := benchmarks
chaos: $(STAMP) kernels
	@folder=$$(mktemp -d) && $(BIN)/python benchmarks/service/event_chaos.py "$$folder" --kills 100; \
		status=$$?; rm -rf "$$folder"; exit $$status
	@$(BIN)/python -m chaos.writer_on_postgresql --kills 30
	@$(BIN)/python -m matinee_platform.learning.testing_kills --kills 30
	@$(BIN)/python -m chaos.kills --kills 20
	@$(BIN)/python -m chaos.kills --kills 20 --database postgresql
	@$(BIN)/python -m chaos.outage --seconds 60

# Compiles every kernel of a run, of rollouts and of rounds once, so that parallel test workers find
# them on disk.
kernels: $(STAMP)
	@{ env -u MATINEE_DATA $(BIN)/matinee index table --quick --users 20 --days 28 --seeds 1 --quiet; \
	for rounds in disjoint shared hybrid; do BENCH_WITHOUT_PEERS=1 $(BIN)/python benchmarks/$${rounds}_lin_ucb.py --tiny; done; } >/dev/null 2>&1 & \
	folder=$$(mktemp -d) && \
	{ env -u MATINEE_DATA $(BIN)/matinee simulate --config examples/demo.yaml --set users=60 --set days=3 \
		--out "$$folder/run" --workers 1 --quiet >"$$folder/log" 2>&1 || \
	echo 'The kernels could not be compiled beforehand; the tests will say why.'; }; \
	wait; rm -rf "$$folder"

dashboards: $(STAMP)
	@PYTHONPATH=dashboards $(BIN)/python -m matinee_dashboards $(if $(RUNBOOKS),--runbooks '$(RUNBOOKS)')

lock:
	@uv pip compile pyproject.toml --extra test --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet -o requirements.lock
	@uv pip compile pyproject.toml --extra image --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet -c requirements.lock -o requirements-image.lock

# pip-audit comes into an environment of its own, never into the project's. Status 2: nothing was audited.
audit:
	@$(or $(wildcard $(BIN)/python),$(PYTHON)) benchmarks/audit/dependency_audit.py

# The project itself goes in last and without dependencies: all come from the lock, hash by hash.
$(STAMP): requirements.lock pyproject.toml
ifeq ($(PYTHON),)
	@echo 'matinee needs Python 3.11 or newer, and none was found. Name one: make PYTHON=/path/to/python3' >&2; exit 1
endif
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	{ echo 'matinee needs Python 3.11 or newer; $(PYTHON) is not. Name one: make PYTHON=/path/to/python3' >&2; exit 1; }
ifeq ($(UV),)
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || \
	{ echo '$(PYTHON) comes without venv. On Debian or Ubuntu: apt install python3-venv. Or install uv.' >&2; exit 1; }
	@echo 'Installing pinned requirements into $(VENV) (a minute or so)'
	@"$(PYTHON)" -m venv $(VENV)
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .
else
	@echo 'Installing pinned requirements into $(VENV)'
	@uv venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" $(VENV)
	@uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
endif
# On all cores, and even where PYTHONDONTWRITEBYTECODE would make every process compile anew.
	@$(BIN)/python -m compileall -q -q -j 0 -x '/tests/' $(VENV)/lib || true
	@touch $(STAMP)
