# FR Core on processors. docs/containers.md says how to run it; Dockerfile.gpu is that of CUDA devices.
#
# Every Python package comes from requirements-cpu.lock and is checked by its hash. Name the base by its digest where a
# build is to be repeated: --build-arg BASE=debian@sha256:...
ARG BASE=debian:trixie-slim

# Debian's Python comes compiled. Without that, a container that may not write compiles what it imports at each start, and
# at each health check.
FROM ${BASE} AS python
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*

FROM python AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv && python3 -m venv /opt/fr
WORKDIR /src
ENV PATH=/opt/fr/bin:$PATH
# Before the source, so that an edit of the source does not fetch the packages again.
COPY requirements-cpu.lock ./
RUN python -m pip install --no-cache-dir --require-hashes --no-deps --only-binary :all: \
    --requirement requirements-cpu.lock
# .dockerignore lets in what the package is built from.
COPY . .
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation ./client . \
    && python -m pip uninstall --yes editables hatchling pathspec pluggy trove-classifiers \
    && python -m pip check
# What no server loads: tests, headers, other runtimes' frontends, plugins of devices that FR Core does not use, and the
# ONNX Runtime of C programs. A library that has moved any of it stops the build here.
RUN cd /opt/fr/lib/python3*/site-packages \
    && find . -type d -name tests -prune -exec rm -r {} + \
    && rm -r onnx/backend/test openvino/include openvino/libs/cache.json onnxruntime/capi/libonnxruntime.so.* \
    openvino/libs/libopenvino_intel_gpu_plugin.so openvino/libs/libopenvino_intel_npu_plugin.so \
    openvino/libs/libopenvino_gguf_frontend.so.* \
    openvino/libs/libopenvino_jax_frontend.so.* openvino/frontend/jax \
    openvino/libs/libopenvino_paddle_frontend.so.* openvino/frontend/paddle \
    openvino/libs/libopenvino_pytorch_frontend.so.* openvino/frontend/pytorch openvino/torch \
    openvino/libs/libopenvino_tensorflow*_frontend.so.* openvino/frontend/tensorflow

FROM python
RUN groupadd --gid 10001 fr \
    && useradd --uid 10001 --gid fr --no-log-init --create-home --home-dir /var/lib/fr-core --shell /usr/sbin/nologin fr
COPY --from=build /opt/fr /opt/fr
ENV PATH=/opt/fr/bin:$PATH \
    FR_HOME=/var/lib/fr-core \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001
WORKDIR /var/lib/fr-core
# Models, galleries, courses, cases, keys. All else may be read-only: docker run --read-only --tmpfs /tmp.
VOLUME /var/lib/fr-core
EXPOSE 50061
# A large gallery takes minutes to read. The timeout leaves fr-health time to say why.
HEALTHCHECK --interval=15s --timeout=5s --start-period=15m --retries=3 CMD ["fr-health"]
# The server refuses to listen beyond this machine without TLS and keys, and a container's own loopback is of no use:
# `fr server init` makes what it needs, in the volume.
ENTRYPOINT ["fr"]
CMD ["serve", "--config", "/var/lib/fr-core/server/server.toml"]
