# Everything runs in .venv, which the first target makes. `make PYTHON=python3.12 demo` picks another interpreter.
PYTHON ?= python3
PIP := .venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt
PHOTO ?= examples/pedestrians.jpg
.DEFAULT_GOAL := help
.PHONY: help demo up test check verify generate bench chart-test images image-test false-positives docs clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/serving: pyproject.toml constraints.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(PIP) --editable '.[serving,embedded,cli]'
	touch $@

.venv/development: .venv/serving
	$(PIP) --editable '.[serving,embedded,cli,training,export,rollout,bundle,evaluate,dev]'
	touch $@

demo: .venv/serving  ## Count the people in PHOTO with a real Triton, and draw where they are
	.venv/bin/crowdserve count $(PHOTO) --overlay demo-overlay.png

up: .venv/serving  ## Start the service on this machine until Ctrl-C
	.venv/bin/crowdserve up

test: .venv/development  ## Run every test: no GPU, no cluster, eight to twelve minutes on two cores
	OMP_NUM_THREADS=1 .venv/bin/pytest --numprocesses 2 --dist loadfile

check: .venv/development  ## Lint, types, import directions
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

verify: .venv/serving  ## Fail if a generated file is out of date
	.venv/bin/crowdserve repository check
	.venv/bin/crowdserve repository tables --check README.md docs/explanation/accuracy.md docs/reference/models.md
	.venv/bin/python -m tools.reference --check
	.venv/bin/python charts/generate.py --check

generate: .venv/serving  ## Write every generated file anew from the model cards and the code
	.venv/bin/crowdserve repository render --profile gpu --source model_repository --target model_repository
	.venv/bin/crowdserve repository tables README.md docs/explanation/accuracy.md docs/reference/models.md
	.venv/bin/python -m tools.reference
	.venv/bin/python charts/generate.py

chart-test: .venv/development  ## Render the Helm chart with a real helm and check every object
	.venv/bin/pytest tests/chart

images:  ## Build the images of the transformer and of the models (Docker with BuildKit)
	version=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' src/crowdserve/__init__.py) && export DOCKER_BUILDKIT=1 && \
	docker build -f transformers/Dockerfile -t crowdserve-transformer:$$version . && \
	docker build -f model_repository/Dockerfile -t crowdserve-models:$$version .

image-test: .venv/development  ## Run the Dockerfiles' build steps without Docker; minutes
	CROWDSERVE_IMAGE_TEST=1 .venv/bin/pytest -s tests/test_dockerfiles.py

bench: .venv/development  ## Measure the service against bare onnxruntime
	.venv/bin/python -m benchmarks.serve

false-positives: .venv/development  ## Count the people in 66 pictures without any; writes docs/explanation/false-positives.md
	.venv/bin/python -m benchmarks.false_positives --page docs/explanation/false-positives.md

.venv/documentation: .venv/serving
	$(PIP) --editable '.[serving,embedded,cli,docs]'
	touch $@

docs: .venv/documentation  ## Build the documentation into site/; a broken link fails
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet

clean:  ## Remove the virtual environment, the built documentation and caches
	rm -rf .venv site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
