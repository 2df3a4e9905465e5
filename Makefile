# `make bench` and `make test` do all the set-up themselves: they need Python >= 3.11, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS ?= runs
EVIDENCE ?= runs-evidence
DEVELOPMENT ?= runs-development
TOWERS ?= towers
INSTALLED := $(VENV)/.installed

.PHONY: bench board test test-long test-slow evidence speed towers lint format leaderboard docs readme golden wheel-test audit lock clean install

bench: $(INSTALLED)  ## All methods on all seven datasets (drawn faces) with two seeds; write the leaderboard.
	$(BIN)/fer-bench sweep quick --runs-dir $(RUNS)
	$(BIN)/fer-bench leaderboard --runs-dir $(RUNS) --out leaderboard
	@echo "Open leaderboard/index.html in a browser, or read leaderboard/README.md. The runs are in $(RUNS)/; the same command again redoes nothing."

board: $(INSTALLED)  ## The stored board and the README's table: what `make bench` runs, with a third seed.
	$(BIN)/fer-bench sweep quick --seed 0 --seed 1 --seed 2 --runs-dir $(RUNS)
	$(BIN)/fer-bench similarity --runs-dir $(RUNS)
	$(BIN)/fer-bench efficiency --runs-dir $(RUNS)
	$(BIN)/fer-bench leaderboard --runs-dir $(RUNS) --out leaderboard
	$(BIN)/python benchmarks/readme_table.py

test: $(INSTALLED)  ## Run the tests, without the long and slow ones and those that need a GPU.
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not long and not slow and not gpu"

test-long: $(INSTALLED)  ## Run the tests that take long: whole runs, several processes, many repetitions.
	$(BIN)/python -m pytest -n auto --dist loadfile -m "long and not slow and not gpu"

test-slow: $(INSTALLED)  ## Run the tests that take minutes each.
	$(BIN)/python -m pytest -m "slow and not gpu"

evidence: $(INSTALLED)  ## Train what the methods' evidence tables need (hours on two cores) and write them.
	for sweep in label_fraction gcn_evidence gcn_people ablation_cafe; do \
	  $(BIN)/python benchmarks/sweep_synthetic.py $$sweep --runs-dir $(EVIDENCE) || exit 1; done
	$(BIN)/python benchmarks/sweep_synthetic.py gcn_evidence --people 80 --seed 0 --seed 1 --runs-dir $(EVIDENCE)
	$(BIN)/python benchmarks/choose_quick.py --runs-dir $(DEVELOPMENT)
	$(BIN)/python benchmarks/quick_epochs.py --runs-dir $(DEVELOPMENT)
	$(BIN)/python benchmarks/evidence_ssmfar.py --runs-dir $(EVIDENCE)
	$(BIN)/python benchmarks/evidence_gcn.py --runs-dir $(EVIDENCE)
	$(BIN)/python benchmarks/evidence_cafe.py --runs-dir $(EVIDENCE)

speed: $(INSTALLED)  ## Run the speed benchmarks (three quarters of an hour), compare with the stored figures, write docs/speed.md.
	$(BIN)/python -m benchmarks.speed $(ACCEPT); code=$$?; $(BIN)/python benchmarks/quick_epochs.py --page; exit $$code

towers: $(INSTALLED)  ## Train the two image towers and the generator of the package again, into TOWERS (minutes).
	$(BIN)/python benchmarks/pretrain_clip_tiny.py clip-tiny clip-tiny-neutral --out $(TOWERS)
	$(BIN)/python benchmarks/pretrain_generator.py neutral-tiny --out $(TOWERS)

lint: $(INSTALLED)  ## Check style, types and the layout.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_architecture.py

format: $(INSTALLED)  ## Put the code into the project's format.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

leaderboard: $(INSTALLED)  ## Rebuild the leaderboard from the stored runs, and the table of the README.
	$(BIN)/fer-bench leaderboard --runs-dir $(RUNS) --out leaderboard
	$(BIN)/python benchmarks/readme_table.py

docs: $(INSTALLED)  ## Build the documentation site in site/; a dead link is an error.
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

readme: $(INSTALLED)  ## Write the table of the README from leaderboard/, and its picture of drawn faces.
	$(BIN)/python benchmarks/readme_table.py --faces

golden: $(INSTALLED)  ## Make the store anew that tests keep as an example of this version's records.
	$(BIN)/python scripts/golden_store.py

wheel-test: $(INSTALLED)  ## Build the wheel, install it elsewhere and use it there.
	scripts/wheel-test.sh

audit: $(INSTALLED)  ## Look up known vulnerabilities of everything in the lock (needs the network).
	$(BIN)/pip-audit --requirement requirements.lock --require-hashes --disable-pip --strict

install: $(INSTALLED)  ## Create .venv and install everything from the hash lock.

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "fer-bench needs Python >= 3.11; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

lock:  ## Resolve the dependencies anew (needs uv).
	UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile --quiet --universal --generate-hashes \
	  --python-version 3.11 --extra dev pyproject.toml --output-file requirements.lock

clean:  ## Remove what the commands above made here, except the runs.
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
