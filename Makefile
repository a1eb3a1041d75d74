# The front door. Every target sets up what it needs; a second run sets up nothing.

PYTHON   := .venv/bin/python
SCENARIO ?= mixed,overflow
SEED     ?= 42
OPS      ?= 2000
SECONDS  ?= 60

# qemu/ is no package, its folder `lab` is.
export PYTHONPATH := .:qemu

.DEFAULT_GOAL := help
.PHONY: help setup kernel demo debug test lint differential bench readme format clean

help: ## this list
	@awk -F ': .*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## system packages (apt) and .venv; done by the other targets too
	@scripts/setup.sh

kernel: setup ## build the kernel into build/kernel
	@$(MAKE) --no-print-directory -s -C qemu/kernel

demo: kernel ## boot the kernel, check it in GDB, corrupt its heap, check again
	@$(PYTHON) -m lab demo

debug: kernel ## an interactive GDB on the kernel (SCENARIO=mixed,overflow SEED=42 OPS=2000)
	@$(PYTHON) -m lab debug --scenario '$(SCENARIO)' --seed '$(SEED)' --ops '$(OPS)'

test: kernel lint ## every check of the project: format, lint, types, imports, tests
	@echo "== pytest"
	@$(PYTHON) -m pytest

lint: setup ## the checks that run nothing: format, lint, types, imports
	@echo "== ruff format"
	@$(PYTHON) -m ruff format --check .
	@echo "== ruff check"
	@$(PYTHON) -m ruff check .
	@echo "== mypy"
	@$(PYTHON) -m mypy
	@echo "== lint-imports"
	@.venv/bin/lint-imports --no-logo

differential: kernel ## model against kernel, random operations for SECONDS=60
	@$(PYTHON) -m lab differential --seconds '$(SECONDS)'

bench: kernel ## figures of this machine: the kernel's heap, GDB's start
	@$(PYTHON) -m lab bench

readme: kernel ## capture the sessions in README.md anew
	@$(PYTHON) -m lab readme

format: setup ## rewrite the Python files in the project's format
	@$(PYTHON) -m ruff format .
	@$(PYTHON) -m ruff check --fix .

clean: ## remove everything built, the environment too
	rm -rf build .venv *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find coronel_gdb model qemu tests -name __pycache__ -prune -exec rm -rf {} +
