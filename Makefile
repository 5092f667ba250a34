# igs: set-up, demo and tests. GNU make 3.81 or newer and a POSIX sh.
#
#   make demo           set up, stream the demo scene, print where the results are
#   make test           set up, then ruff, pyright and pytest
#   make help           everything else
#
# Variables: PYTHON (interpreter for .venv), CXX (compiler), CONFIG (of `make demo`),
# PYTEST_WORKERS, PYTEST_ARGS, IGS_SHARED (folder that holds parity/ and data/), and all of pip's own PIP_*.

CONFIG ?= configs/demo.yaml
PYTEST_WORKERS ?= 2
SUBMODULES := nvrtc-kernels diff-gaussian-rasterization simple-knn fused-ssim gmflow

VENV := .venv
ifeq ($(OS),Windows_NT)
PY := $(VENV)/Scripts/python.exe
else
PY := $(VENV)/bin/python
endif
PIP := $(PY) -m pip --disable-pip-version-check --no-input
# One thread a worker: threads of several workers on the same cores only wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -n $(PYTEST_WORKERS) --dist loadfile
# The stamps live in the environment they describe: without it they are gone too.
STAMPS := $(VENV)/.stamps
WHEELS := $(VENV)/.wheels
INSTALLED := $(SUBMODULES:%=$(STAMPS)/%)

# Another project's modules must not leak into this environment.
unexport PYTHONPATH PYTHONHOME
# Idle OpenMP threads shall sleep, not spin: other threads want the cores.
export OMP_WAIT_POLICY ?= PASSIVE

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test setup setup-dev lint format types player pytest test-parity test-gpu wheels clean distclean FORCE

help:
	@echo "make demo          set up, run configs/demo.yaml (CONFIG=...), print where the results are"
	@echo "make test          set up, then lint, types and pytest"
	@echo "make setup         .venv with igs and its native packages"
	@echo "make setup-dev     the same plus the checkers and test tools"
	@echo "make lint          ruff check and ruff format --check"
	@echo "make format        ruff check --fix and ruff format"
	@echo "make types         pyright"
	@echo "make player        what the tests of the web player need, from npm"
	@echo "make pytest        the tests alone (PYTEST_ARGS=...)"
	@echo "make test-parity   the comparisons with stored fixtures (IGS_SHARED=folder)"
	@echo "make test-gpu      the tests that need an NVIDIA GPU"
	@echo "make wheels        wheels of igs and of every submodule in dist/"
	@echo "make clean         remove what building and testing left; keep .venv and outputs/"
	@echo "make distclean     remove .venv as well"

demo: setup
	$(PY) infer_batch.py --config $(CONFIG)

test: lint types player pytest

lint: setup-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: setup-dev
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

types: setup-dev
	$(PY) -m pyright

pytest: setup-dev
	$(PYTEST) $(PYTEST_ARGS)

test-parity: setup-dev
	$(PYTEST) -m parity $(PYTEST_ARGS)

test-gpu: setup-dev
	$(PYTEST) -m gpu $(PYTEST_ARGS)

# What the tests of the web player bundle and run; without npm they are skipped, and say so.
player:
	@if ! command -v npm >/dev/null; then echo "==> no npm: the player's sources are not tested"; \
	elif ! test viewer/node_modules/.package-lock.json -nt viewer/package-lock.json; then \
	    echo "==> viewer"; cd viewer && npm ci --ignore-scripts --no-audit --no-fund; fi

setup: $(STAMPS)/igs

setup-dev: $(STAMPS)/igs $(STAMPS)/requirements-dev

# Looked at every time, touched only when the environment is new: an environment of another or a
# broken Python is made again, and with it goes every other stamp.
$(STAMPS)/venv: FORCE
	@sh script/make_venv.sh venv
	@mkdir -p $(STAMPS) $(WHEELS)
	@test -e $@ || touch $@

$(STAMPS)/compiler: $(STAMPS)/venv script/make_venv.sh
	@sh script/make_venv.sh compiler
	@touch $@

$(STAMPS)/requirements: requirements.txt $(STAMPS)/venv | $(STAMPS)/compiler
	@echo "==> packages of requirements.txt"
	$(PIP) install -r requirements.txt
	@touch $@

$(STAMPS)/requirements-dev: requirements-dev.txt requirements.txt $(STAMPS)/venv | $(STAMPS)/requirements
	@echo "==> packages of requirements-dev.txt"
	$(PIP) install -r requirements-dev.txt
	@touch $@

# Names and checksums of a package's files: a build is redone when they differ, not when a
# checkout merely touched them. Tests, build folders and caches do not count.
$(SUBMODULES:%=$(STAMPS)/%.sources): $(STAMPS)/%.sources: FORCE $(STAMPS)/venv
	@find submodules/$* \( -name build -o -name dist -o -name tests -o -name bench \
	    -o -name __pycache__ -o -name '*.egg-info' -o -name '.*' \) -prune \
	    -o -type f -exec cksum {} + | sort >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# The wheel is built by itself (build isolation, no torch) and kept: the wheel tests use it.
$(INSTALLED): $(STAMPS)/%: $(STAMPS)/%.sources $(STAMPS)/venv | $(STAMPS)/requirements
	@echo "==> submodules/$*"
	@rm -rf $(WHEELS)/$* submodules/$*/build
	$(PIP) wheel --quiet --no-deps --wheel-dir $(WHEELS)/$* ./submodules/$*
	$(PIP) install --quiet --no-deps --force-reinstall $(WHEELS)/$*/*.whl
	@touch $@

$(STAMPS)/igs: pyproject.toml setup.py $(INSTALLED)
	@echo "==> igs"
	$(PIP) install --quiet --no-deps --editable .
	@$(PY) -m igs.cli doctor --required
	@touch $@

wheels: setup
	rm -rf build dist
	@mkdir -p dist
	$(PIP) wheel --quiet --no-deps --wheel-dir dist .
	cp $(SUBMODULES:%=$(WHEELS)/%/*.whl) dist/
	@ls dist

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	rm -rf $(foreach m,$(SUBMODULES),submodules/$(m)/build submodules/$(m)/dist)
	find igs tests submodules bench examples script -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)

FORCE:
