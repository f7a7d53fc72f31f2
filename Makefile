# Everything runs in .venv, which the first target makes. `make PYTHON=python3.12 demo` picks another interpreter.
PYTHON ?= python3
PIP := .venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt
PHOTO ?= examples/pedestrians.jpg
.DEFAULT_GOAL := help
.PHONY: help demo up test check verify generate bench clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/serving: pyproject.toml constraints.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(PIP) --editable '.[serving,embedded,cli]'
	touch $@

.venv/development: .venv/serving
	$(PIP) --editable '.[serving,embedded,cli,training,export,dev]'
	touch $@

demo: .venv/serving  ## Count the people in PHOTO with a real Triton, and draw where they are
	.venv/bin/crowdserve count $(PHOTO) --overlay demo-overlay.png

up: .venv/serving  ## Start the service on this machine until Ctrl-C
	.venv/bin/crowdserve up

test: .venv/development  ## Run every test: no GPU, no cluster, about ten minutes on two cores
	.venv/bin/pytest

check: .venv/development  ## Lint, types, import directions
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

verify: .venv/serving  ## Fail if a generated file is out of date
	.venv/bin/crowdserve repository check
	.venv/bin/crowdserve repository tables --check README.md docs/accuracy.md

generate: .venv/serving  ## Write every generated file anew from the model cards
	.venv/bin/crowdserve repository render --profile gpu --source model_repository --target model_repository
	.venv/bin/crowdserve repository tables README.md docs/accuracy.md

bench: .venv/development  ## Measure the service against bare onnxruntime
	.venv/bin/python -m benchmarks.serve

clean:  ## Remove the virtual environment and caches
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
