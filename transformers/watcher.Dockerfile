# syntax=docker/dockerfile:1
# Image of the watcher: `crowdserve watch` with PyAV, PostgreSQL's client and Kubernetes'. PyAV's wheel brings FFmpeg with
# x264 and x265, which puts this image under the GPL: see NOTICE. Build it from the root of the project, which is its
# context:
#
#     docker build -f transformers/watcher.Dockerfile -t crowdserve-watcher .
#
# Mount a configuration at /config/cameras.yaml.

ARG PYTHON=3.11.13-slim-bookworm
# `python -m tools.digests --write` fills the digest in; it then wins over the tag.
ARG PYTHON_DIGEST=""

FROM python:${PYTHON}${PYTHON_DIGEST:+@$PYTHON_DIGEST} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv --without-pip /opt/crowdserve
WORKDIR /src
# Packages first: a change of the code leaves this layer in the cache. The lock files name all of them, each with hashes.
COPY requirements/build.lock requirements/watcher.lock requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip install --require-hashes --only-binary :all: --no-deps --requirement requirements/build.lock && \
    python -m pip --python /opt/crowdserve/bin/python install --no-compile --require-hashes --only-binary :all: --no-deps --requirement requirements/watcher.lock
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src src
COPY transformers/crowdserve_transformer transformers/crowdserve_transformer
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip wheel --no-index --no-deps --no-build-isolation --wheel-dir wheels . && \
    python -m pip --python /opt/crowdserve/bin/python install --no-compile --no-index --no-deps wheels/*.whl && \
    python -m pip --python /opt/crowdserve/bin/python check && \
    find /opt/crowdserve -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} + && \
    python -m compileall -q --invalidation-mode unchecked-hash /opt/crowdserve/lib

FROM python:${PYTHON}${PYTHON_DIGEST:+@$PYTHON_DIGEST}
LABEL org.opencontainers.image.title="crowdserve watcher" \
      org.opencontainers.image.licenses="Apache-2.0 AND GPL-3.0-or-later"
COPY --from=build /opt/crowdserve /opt/crowdserve
ENV PATH=/opt/crowdserve/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
# A number, so that Kubernetes can check that it is not root.
USER 1000:1000
WORKDIR /tmp
EXPOSE 9108
# Exec form: the watcher is process 1 and receives SIGTERM.
ENTRYPOINT ["crowdserve"]
CMD ["watch", "/config/cameras.yaml", "--json"]
