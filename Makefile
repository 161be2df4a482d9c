# make demo and make test set up what is missing first; everything runs inside .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export OMP_NUM_THREADS = 1

.PHONY: setup demo test coverage check lint bench bench-search docs clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(READY)

demo: $(READY)  ## The main job on real data: find, prove and pack a digit classifier.
	$(BIN)/steelyard find digits --model cnn --max-drop 0.02 --budget 80s --out steelyard-out/demo

test: $(READY) lint  ## Every check that CI runs; tests that need ../shared/data are skipped where it is missing.
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not bench" --durations=25 tests

coverage: $(READY)  ## The same tests, slower, with what they cover.
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not bench" --cov --cov-report=term:skip-covered tests

check: $(READY) lint  ## Format, lint, types, import contracts, fast tests: under a minute, offline.
	$(BIN)/python -m pytest -q -m "not slow and not shared" tests

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) bench-search  ## Benchmarks; each writes JSON with its environment into benchmarks/results. Gates nothing.
	$(BIN)/python -m pytest -q -m bench tests
	$(BIN)/python benchmarks/guarantee.py --json benchmarks/results/guarantee.json
	$(BIN)/python benchmarks/overhead.py --json benchmarks/results/overhead.json
	$(BIN)/python benchmarks/kill.py --json benchmarks/results/kill.json
	$(BIN)/python benchmarks/comparison.py --json benchmarks/results/comparison.json
	$(BIN)/python benchmarks/sessions.py --json benchmarks/results/sessions.json
	$(BIN)/python benchmarks/memory.py --json benchmarks/results/memory.json
	$(BIN)/python benchmarks/layers.py --json benchmarks/results/layers.json
	$(BIN)/python benchmarks/quantizing.py --json benchmarks/results/quantizing.json
	$(BIN)/python benchmarks/runtimes.py --json benchmarks/results/runtimes.json
	$(BIN)/python benchmarks/estimate.py --json benchmarks/results/estimate.json
	$(BIN)/python benchmarks/recurrent.py --json benchmarks/results/recurrent.json
	$(BIN)/python benchmarks/compression_train.py
	$(BIN)/python benchmarks/compression_ours.py
	$(BIN)/python benchmarks/compression.py
	$(BIN)/python benchmarks/any_data.py --json benchmarks/results/any-data.json
	$(BIN)/python benchmarks/sequences.py --json benchmarks/results/sequences.json
	$(BIN)/python benchmarks/language_model.py --json benchmarks/results/language-model.json
	$(BIN)/python benchmarks/halves.py steelyard-out/any-data/*/*.question.json steelyard-out/language-model/*.question.json --json benchmarks/results/halves.json
	$(BIN)/python benchmarks/fuzz.py --json benchmarks/results/fuzz.json
	$(BIN)/python benchmarks/fuzz_files.py --json benchmarks/results/fuzz-files.json
	$(BIN)/python benchmarks/deep_compression.py --json benchmarks/results/deep-compression.json

bench-search: $(READY)  ## Benchmarks of searching alone.
	$(BIN)/python benchmarks/slicing.py --json benchmarks/results/slicing.json
	$(BIN)/python benchmarks/nas_tables.py --json benchmarks/results/nas-tables.json
	$(BIN)/python benchmarks/nas_page.py
	$(BIN)/python benchmarks/search_record.py
	$(BIN)/python benchmarks/search_table.py
	$(BIN)/python benchmarks/search_live.py
	$(BIN)/python benchmarks/search_replay.py --json benchmarks/results/search.json
	$(BIN)/python benchmarks/search_page.py
	$(BIN)/python benchmarks/halving.py --table digits --json benchmarks/results/halving.json
	$(BIN)/python benchmarks/halving_page.py
	$(BIN)/python benchmarks/search_memory.py --json benchmarks/results/search-memory.json
	$(BIN)/python benchmarks/compress_elastic.py --json benchmarks/results/compress-elastic.json
	$(BIN)/python benchmarks/search_goals.py --json benchmarks/results/search-goals.json
	$(BIN)/python benchmarks/joint.py --json benchmarks/results/joint.json

docs: $(READY)  ## The documentation's code blocks, executed, and its links, checked.
	$(BIN)/python -m pytest -q tests/docs

clean:
	rm -rf $(VENV) steelyard-out .mypy_cache .ruff_cache .pytest_cache .coverage
