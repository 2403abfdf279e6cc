# Everything from a fresh clone with Python (3.11 - 3.13) and make. `make help` lists the targets.
SHELL := /bin/bash
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
export RESNET_DATA ?= data
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install quickstart test test-portable test-slow test-cuda coverage lint format cifar10 benchmark clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## make .venv and install the project into it, with its development tools

$(VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(FITS)' || \
	  { echo "make: Python 3.11, 3.12 or 3.13 is needed; name one with make PYTHON=/path/to/python3.12" >&2; exit 2; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV); PyTorch brings about 3 GB, once"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

quickstart: install ## see the degradation problem and its cure: four networks on drawn images, and a report (minutes)
	$(BIN)/resnet-train experiment=quickstart
	$(BIN)/resnet-report runs/synthetic/*/quickstart --out report
	@echo "look at report/report.html, or report/degradation-synthetic.png"

test: install lint ## lint, type-check, test, JOBS=2 modules at a time
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadscope

test-portable: install ## the numerical tests as on other CPUs: 1 and 2 threads, AVX2, no vector units
	set -e; for setting in OMP_NUM_THREADS=1 OMP_NUM_THREADS=2 ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=default; do \
	  echo "$$setting"; env OMP_WAIT_POLICY=PASSIVE $$setting $(BIN)/python -m pytest -q -m 'numerical and not slow'; done

test-slow: install ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

test-cuda: install ## the tests that need a GPU, on a machine that has one
	$(BIN)/python -m pytest -m cuda

coverage: install ## which lines the tests reach; TESTS=tests/data for some of them
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadscope --cov --cov-report=term $(TESTS)

lint: install ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

cifar10: install ## plain and residual networks of 20 and 56 layers on the real CIFAR-10, 4,000 iterations each
	$(BIN)/resnet-train -m model=plain20,plain56,resnet20,resnet56 schedule.iterations=4000
	$(BIN)/resnet-report runs/cifar10 --out report

benchmark: install ## speed beside the usual script, photographs, several processes and many runs (at most MINUTES=60)
	$(BIN)/python -m scripts.benchmark training imagenet index scale lesion --minutes $(or $(MINUTES),60)

clean: ## remove .venv and caches; runs/ and report/ stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache dist
