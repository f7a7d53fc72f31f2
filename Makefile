# Everything runs in .venv, which the first target makes. `make PYTHON=python3.12 demo` picks the interpreter; without it
# tools/find_python.sh does. What is already in a .venv, a CPU build of torch 2.13 say, stays.
PYTHON ?=
PIP := .venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt
SECONDS ?= 600
PHOTO ?= examples/pedestrians.jpg
.DEFAULT_GOAL := help
.PHONY: help demo up test hostile-test openapi-test live-test console-test fuzz soak coverage check format verify generate images image-test wheel-test cluster cluster-down cluster-test bench peers gpu-bench false-positives docs lock sbom audit release clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/serving: pyproject.toml constraints.txt
	@test -d .venv || { python=$$(tools/find_python.sh "$(PYTHON)") && echo "$$python -m venv .venv" && "$$python" -m venv .venv; }
	$(PIP) --editable '.[serving,embedded,cli]'
	$(PIP) --no-deps "nvidia-pytriton>=0.7,<0.8; python_version >= '3.13' and sys_platform == 'linux' and platform_machine == 'x86_64'"
	touch $@

.venv/development: .venv/serving
	$(PIP) --editable '.[serving,embedded,cli,training,export,rollout,bundle,evaluate,live,history,dev]'
	touch $@

demo: .venv/serving  ## Count the people in PHOTO with a real Triton, and draw where they are
	.venv/bin/crowdserve count $(PHOTO) --overlay demo-overlay.png

up: .venv/serving  ## Start the service on this machine until Ctrl-C
	.venv/bin/crowdserve up

test: .venv/development  ## Run every test: no GPU, no cluster, seven to thirteen minutes on two cores
	export OMP_NUM_THREADS=1; failed=0; for framework in torch tensorflow; do \
	    .venv/bin/pytest --numprocesses 2 --dist loadfile --framework $$framework || failed=1; \
	done; exit $$failed

cluster-test: .venv/development  ## Install, update, scale, break and roll out in the cluster of KUBECONFIG; 25 to 60 minutes on two cores
	test -n "$$KUBECONFIG" || test ! -f .cluster.env || . ./.cluster.env; export CROWDSERVE_CLUSTER_TEST=1; .venv/bin/pytest --timeout 900 --run-minutes 90 tests/cluster

hostile-test: .venv/development  ## Attack the service with what fills memory and time; minutes
	export OMP_NUM_THREADS=1 CROWDSERVE_HOSTILE_TEST=1; .venv/bin/pytest -s tests/hostile

openapi-test: .venv/development  ## Send a running service 2,000 requests made from its OpenAPI document; two minutes
	CROWDSERVE_HOSTILE_TEST=1 .venv/bin/pytest -s tests/hostile/test_openapi_examples.py

live-test: .venv/development  ## Watch cameras that the test plays: RTSP, twenty 1080p streams, a day in small, PostgreSQL; minutes
	CROWDSERVE_LIVE_TEST=1 .venv/bin/pytest -s tests/live tests/console/test_rezoning.py

# Playwright drives Debian's Chromium, and axe looks for what people with a disability cannot use; only these tests use them.
.venv/browser: .venv/development
	$(PIP) playwright==1.65.2 axe-playwright-python==0.1.8
	touch $@

console-test: .venv/browser  ## Use the console in Debian's Chromium: draw zones, read alerts, drop a photo; two minutes
	CROWDSERVE_CONSOLE_TEST=1 .venv/bin/pytest tests/console

coverage: .venv/development  ## Run every test and list the files below 95 %; htmlcov/index.html shows their lines
	rm -rf .coverage .coverage.* htmlcov
	export OMP_NUM_THREADS=1; failed=0; \
	for framework in torch tensorflow; do \
		.venv/bin/pytest --numprocesses 2 --dist loadfile --framework $$framework \
			--cov --cov-append --cov-report= || failed=1; \
	done; \
	.venv/bin/coverage html --quiet; \
	.venv/bin/coverage report | awk '$$4 + 0 < 95 || $$1 == "TOTAL"'; \
	exit $$failed

check: .venv/development  ## Lint, types, import directions, spelling, language
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/codespell
	.venv/bin/python -m tools.check_language

format: .venv/development  ## Lay out the code anew and mend what the linter can
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

verify: .venv/serving  ## Fail if a generated file is out of date
	.venv/bin/crowdserve repository check
	.venv/bin/crowdserve repository tables --check README.md docs/explanation/accuracy.md docs/reference/models.md
	.venv/bin/python -m tools.grpc_protocol --check
	.venv/bin/python -m tools.reference --check
	.venv/bin/python -m tools.chart.generate --check

generate: .venv/serving  ## Write every generated file anew from the model cards and the code
	.venv/bin/crowdserve repository render --profile gpu --source model_repository --target model_repository
	.venv/bin/crowdserve repository tables README.md docs/explanation/accuracy.md docs/reference/models.md
	.venv/bin/python -m tools.grpc_protocol
	.venv/bin/python -m tools.reference
	.venv/bin/python -m tools.chart.generate

images:  ## Build the images: transformer, watcher, models, Triton for CPUs (Docker with BuildKit)
	version=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' src/crowdserve/__init__.py) && export DOCKER_BUILDKIT=1 && \
	docker build -f transformers/Dockerfile -t crowdserve-transformer:$$version . && \
	docker build -f transformers/watcher.Dockerfile -t crowdserve-watcher:$$version . && \
	docker build -f model_repository/Dockerfile -t crowdserve-models:$$version . && \
	docker build -f model_repository/triton-cpu.Dockerfile -t crowdserve-triton-cpu:$$version .

image-test: .venv/development  ## Run the Dockerfiles' build steps without Docker; minutes
	CROWDSERVE_IMAGE_TEST=1 .venv/bin/pytest -s tests/test_dockerfiles.py

wheel-test: .venv/development  ## Build the wheel, install it with its requirements elsewhere, count a photo; a minute or two
	CROWDSERVE_WHEEL_TEST=1 .venv/bin/pytest tests/test_wheel.py

cluster:  ## Make a Kubernetes cluster in Docker with KServe and all the rest, and load the images; minutes
	tools/cluster/up.sh

cluster-down:  ## Remove that cluster
	tools/cluster/down.sh

fuzz: .venv/development  ## Try edited files and messages on their decoders for SECONDS; findings go to findings/
	.venv/bin/python -m benchmarks.fuzz --seconds $(SECONDS)

soak: .venv/development  ## Good and hostile traffic against a service for SECONDS, after a warm-up of 240; fails if a bound is broken
	.venv/bin/python -m benchmarks.soak --seconds $(SECONDS)

bench: .venv/development  ## Measure the service against bare runtimes, its memory, and what `crowdserve plan` is made of
	.venv/bin/python -m benchmarks.serve
	.venv/bin/python -m benchmarks.memory
	.venv/bin/python -m benchmarks.capacity --json src/crowdserve/capacity/figures/cpu.json

.venv-peers/bin/torchserve: .venv/development
	.venv/bin/python -m venv .venv-peers
	echo "$(CURDIR)/.venv/lib/$$(ls .venv/lib)/site-packages" > .venv-peers/lib/$$(ls .venv/lib)/site-packages/development.pth
	.venv-peers/bin/pip install --quiet --constraint constraints.txt torchserve==0.12.0 torch-model-archiver==0.12.0 fastapi
	touch $@

peers: .venv-peers/bin/torchserve  ## Measure TorchServe and FastAPI with the same CSRNet beside the service; needs Java
	PYTHONPATH=src:transformers:. .venv-peers/bin/python -m benchmarks.peers

gpu-bench: .venv/development  ## Measure the networks on this machine's GPU in 90 s; writes dist/gpu.json
	.venv/bin/python -m benchmarks.gpu --json dist/gpu.json

false-positives: .venv/development  ## Count the people in 66 images without any; writes docs/explanation/false-positives.md
	.venv/bin/python -m studies.false_positives --page docs/explanation/false-positives.md

.venv/documentation: .venv/serving
	$(PIP) --editable '.[serving,embedded,cli,docs]'
	touch $@

docs: .venv/documentation  ## Build the documentation into site/; a broken link fails
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet

lock: .venv/development  ## Write the images' lock files anew, after pyproject.toml or constraints.txt has changed
	.venv/bin/python -m tools.locks

sbom: .venv/development  ## Write what each image holds into dist/, as CycloneDX
	.venv/bin/python -m tools.sbom

audit: .venv/development  ## Look for known vulnerabilities of the images' packages; asks PyPI
	.venv/bin/pip-audit --strict --progress-spinner off --disable-pip --require-hashes $(addprefix --requirement ,$(wildcard requirements/*.lock))

release: .venv/development  ## Check that VERSION can be released, build it into dist/, say how to tag it
	.venv/bin/python tools/release.py $(VERSION)

clean:  ## Remove the virtual environment, caches and what was built
	rm -rf .venv .venv-peers .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov dist site
