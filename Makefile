# The front door. Every target sets up what it needs; a second run sets up nothing.

PYTHON   := .venv/bin/python
SCENARIO ?= mixed,overflow
SEED     ?= 42
OPS      ?= 2000
AMOUNT   ?= 1
HARDWARE_SEED ?= 0x5eed
SECONDS  ?= 60
EXAMPLES ?= 100000
CASES    ?= 3000
CLEAN    ?= 10000
BUGS     ?= 3
CORPUS_SEED ?= 1

# qemu/ is no package, its folder `lab` is.
export PYTHONPATH := .:qemu

.DEFAULT_GOAL := help
.PHONY: help setup kernel demo debug test hardware mutate lint bench capture docs format clean differential fuzz corpus release newest

help: ## this list
	@awk -F ': .*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## system packages (apt) and .venv; done by the other targets too
	@scripts/setup.sh

kernel: setup ## build the kernel into build/kernel, the page-walk harness, and the kernels of other layouts
	@$(MAKE) --no-print-directory -s -C qemu/kernel
	@$(MAKE) --no-print-directory -s -C qemu/hardware
	@for kernel in qemu/kernels/*/; do $(MAKE) --no-print-directory -s -C $$kernel || exit; done

demo: kernel ## boot the kernel, check it in GDB, corrupt its heap, check again
	@$(PYTHON) -m lab demo

debug: kernel ## an interactive GDB on the kernel (SCENARIO=mixed,overflow SEED=42 OPS=2000; RECORDED=1 goes backwards too)
	@$(PYTHON) -m lab debug --scenario '$(SCENARIO)' --seed '$(SEED)' --ops '$(OPS)' $(if $(RECORDED),--recorded)

test: kernel lint ## every check of the project: format, lint, types, imports, tests
	@echo "== pytest"
	@$(PYTHON) -m pytest -n 2 --dist loadfile

hardware: kernel ## the page walk against QEMU, Bochs, KVM and a formula (AMOUNT=1: whole)
	@for engine in tcg bochs kvm formula; do \
	    $(PYTHON) -m lab hardware --engine $$engine --amount '$(AMOUNT)' --seed '$(HARDWARE_SEED)' || exit; \
	done

mutate: setup ## mutation score of the tests of the page walk (about ten minutes)
	@$(PYTHON) -m lab mutate

fuzz: kernel ## 100,000 damaged inputs for every reader and lift together (EXAMPLES=100000)
	@CORONEL_FUZZ_EXAMPLES=$(EXAMPLES) $(PYTHON) -m pytest -q --timeout 0 --durations 0 \
	    tests/dumps/test_fuzz.py tests/dumps/test_fuzz_files.py tests/dumps/test_fuzz_lifts.py

release: kernel ## wheel and source distribution, and all tests on the installed wheel (TESTS=tests/dumps for some)
	@scripts/release.sh $(TESTS)

newest: kernel ## tests with the newest GDB, Python and QEMU: Debian unstable, in build/newest (TESTS=tests/gdb for some)
	@scripts/newest.sh $(TESTS)

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

corpus: kernel ## seeded damages, real bugs and healthy stops, judged by all commands (CASES=3000 BUGS=3 CLEAN=10000 CORPUS_SEED=1 WRITE=--write)
	@$(PYTHON) -m lab corpus --cases '$(CASES)' --bugs '$(BUGS)' --clean '$(CLEAN)' --seed '$(CORPUS_SEED)' $(WRITE)

bench: kernel ## figures of this machine: the kernel's heap, GDB's start
	@$(PYTHON) -m lab bench

capture: kernel ## write anew what the documents show: captured sessions, and the pages made from the code
	@$(PYTHON) -m lab capture

docs: setup ## the documents as a site, build/docs/index.html; a warning is an error
	@$(PYTHON) -m sphinx --fail-on-warning --keep-going --quiet -E -d build/doctrees -b html docs build/docs
	@echo build/docs/index.html

format: setup ## rewrite the Python files in the project's format
	@$(PYTHON) -m ruff format .
	@$(PYTHON) -m ruff check --fix .

clean: ## remove everything built, the environment too
	rm -rf build .venv *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find coronel_gdb model qemu tests -name __pycache__ -prune -exec rm -rf {} +
