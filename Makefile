# The verbs of this repository. `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
TRAINING := $(VENV)/.training
# The demos whose trainings need more than the loop does.
TRAINED := voice_assistant search_ranking $(if $(MODEL),assistant dashboard_widgets)
PEERS  := .venv-bench
BENCHMARKS ?= regret join learn decide freshness

.DEFAULT_GOAL := help
.PHONY: help install install-training demo up test lint bench bench-install lock clean

help:  ## list the verbs
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Streamwheel needs Python 3.11 or newer; set PYTHON=…"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

install: $(STAMP)  ## create .venv with hash-locked dependencies and the streamwheel command

$(TRAINING): services/trainer/requirements.lock $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r services/trainer/requirements.lock
	@touch $@

install-training: $(TRAINING)  ## add torch and the other libraries that training needs (some GB)

demo: $(if $(filter $(TRAINED),$(APPLICATION)),install-training,install)  ## play real data, or APPLICATION's users, through the running loop
	$(BIN)/streamwheel demo $(APPLICATION) $(if $(MODEL),--model $(MODEL)) $(if $(ROLLOUT),--rollout)

up: install  ## start an embedded Kafka and every service, until Ctrl-C
	$(BIN)/streamwheel up

# It starts hundreds of processes: with their bytecode at hand, however the environment has it.
test: install-training  ## run the whole test suite
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: install  ## ruff and mypy strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# obp's estimators run on any Python 3, though its package asks for an older one, and need only what is there.
$(PEERS)/.installed: deploy/benchmarks/requirements.lock deploy/benchmarks/obp.lock
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r deploy/benchmarks/requirements.lock
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --ignore-requires-python -r deploy/benchmarks/obp.lock
	@touch $@

bench-install: install $(PEERS)/.installed  ## install the peers that benchmarks measure beside Streamwheel

bench: bench-install  ## measure, one JSON object for each of BENCHMARKS (soak is another)
	@for name in $(BENCHMARKS); do $(BIN)/streamwheel benchmark $$name --json || exit 1; done

lock:  ## resolve requirements.lock anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --upgrade --quiet --extra dev pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --upgrade --quiet deploy/benchmarks/requirements.in -o deploy/benchmarks/requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --upgrade --quiet -c requirements.lock services/trainer/requirements.in \
		-o services/trainer/requirements.lock

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) $(PEERS) .mypy_cache .ruff_cache .pytest_cache .hypothesis .state
