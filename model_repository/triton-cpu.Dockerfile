# syntax=docker/dockerfile:1
# Image of Triton for clusters without GPUs: tritonserver and its python backend from the wheel nvidia-pytriton, and for
# CPUs onnxruntime (FP32) and OpenVINO (bfloat16, 8 bits). It serves bundles of the embedded profile. Build it from the root of
# the project, which is its context:
#
#     docker build -f model_repository/triton-cpu.Dockerfile -t crowdserve-triton-cpu .
#
# As in NVIDIA's image, tritonserver is on PATH and finds its backends in /opt/tritonserver. There is no entrypoint:
# arguments are the command. Without any it serves /mnt/models, in FP32; with --model-config-name=bf16 added in bfloat16, as
# the chart does on processors that have it. CROWDSERVE_TRITON_THREADS sets the threads of a network.

ARG PYTHON=3.11.13-slim-bookworm
# `python -m tools.digests --write` fills the digest in; it then wins over the tag.
ARG PYTHON_DIGEST=""

FROM python:${PYTHON}${PYTHON_DIGEST:+@$PYTHON_DIGEST} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
# What the chart's scripts need of this base: openssl checks a bundle's signature, bash asks Triton for its health.
RUN openssl version && bash -c true
RUN python -m venv --without-pip /opt/triton
WORKDIR /src
COPY requirements/triton.lock requirements/
# Without what the wheels need for their Python interfaces, which is not used; Triton's brings the library of another Python,
# OpenVINO's its reports of use to its maker, plugins for other devices and readers of other formats: 80 of 184 MB.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip --python /opt/triton/bin/python install --no-compile --require-hashes --only-binary :all: --no-deps --requirement requirements/triton.lock && \
    rm /opt/triton/lib/python3*/site-packages/nvidia_pytriton.libs/libpython* && \
    openvino=$(echo /opt/triton/lib/python3*/site-packages/openvino) && rm -r "$openvino"/include \
    "$openvino"/libs/cache.json "$openvino"/libs/libopenvino_intel_[gn]pu_plugin* "$openvino"/libs/libopenvino_[gjpt]*_frontend* && \
    find /opt/triton -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} + && \
    python -m compileall -q --invalidation-mode unchecked-hash /opt/triton/lib
COPY src/crowdserve src/crowdserve
RUN PYTHONPATH=src PYTHONDONTWRITEBYTECODE=1 /opt/triton/bin/python -c \
    "import pathlib, crowdserve.local.triton as triton; triton.lay_out(pathlib.Path('/opt/tritonserver'))"

FROM python:${PYTHON}${PYTHON_DIGEST:+@$PYTHON_DIGEST}
LABEL org.opencontainers.image.title="Triton for crowdserve on CPUs" \
      org.opencontainers.image.licenses="Apache-2.0 AND BSD-3-Clause AND MIT"
COPY --from=build /opt/triton /opt/triton
COPY --from=build /opt/tritonserver /opt/tritonserver
ENV PATH=/opt/triton/bin:/opt/tritonserver/bin:$PATH \
    LD_LIBRARY_PATH=/opt/tritonserver/lib \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
# A number, so that Kubernetes can check that it is not root.
USER 1000:1000
WORKDIR /tmp
EXPOSE 8000 8002
# The value that a header would need for the restricted APIs cannot be sent: nobody may load models or set logging.
CMD ["tritonserver", "--model-repository=/mnt/models", "--model-control-mode=explicit", "--load-model=vgg16", \
     "--load-model=csrnet_a", "--load-model=csrnet_b", "--load-model=ssdcnet_sha", "--load-model=ssdcnet_shb", \
     "--load-model=crowd_dense", "--load-model=crowd_sparse", "--disable-auto-complete-config", \
     "--strict-readiness=true", "--allow-gpu-metrics=false", "--pinned-memory-pool-byte-size=0", \
     "--http-restricted-api=model-repository,shared-memory,trace,logging:nobody=\n\n", "--allow-grpc=false"]
