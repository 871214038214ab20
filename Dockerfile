# FR Core on processors. docs/containers.md says how to run it; Dockerfile.gpu is that of CUDA devices.
#
# Every package comes from requirements-cpu.lock and is checked by its hash. Name the base by its digest where a build is
# to be repeated: --build-arg BASE=python@sha256:...
ARG BASE=python:3.12-slim-trixie

FROM ${BASE} AS build
WORKDIR /src
RUN python -m venv /opt/fr
ENV PATH=/opt/fr/bin:$PATH
# Before the source, so that an edit of the source does not fetch the packages again.
COPY requirements-cpu.lock ./
RUN python -m pip install --no-cache-dir --require-hashes --no-deps --only-binary :all: \
    --requirement requirements-cpu.lock
COPY pyproject.toml hatch_build.py README.md LICENSE CHANGELOG.md ./
COPY fr_core fr_core
COPY server server
COPY client client
COPY datasets datasets
COPY evaluation evaluation
COPY locales locales
COPY training training
COPY trust trust
COPY benchmarks benchmarks
COPY proto proto
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation ./client . && python -m pip check

FROM ${BASE}
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/fr-core fr
COPY --from=build /opt/fr /opt/fr
# The server refuses to listen beyond this machine without TLS and keys, and a container's own loopback is of no use:
# `fr server init` makes what it needs, in the volume. FR_CA is what the health check trusts.
ENV PATH=/opt/fr/bin:$PATH \
    FR_HOME=/var/lib/fr-core \
    FR_CA=/var/lib/fr-core/server/ca.pem \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001
WORKDIR /var/lib/fr-core
# Models, galleries, courses, cases, keys. All else may be read-only: docker run --read-only --tmpfs /tmp.
VOLUME /var/lib/fr-core
EXPOSE 50061
HEALTHCHECK --interval=15s --timeout=6s --start-period=60s --retries=3 \
    CMD ["fr", "--server", "127.0.0.1:50061", "health"]
ENTRYPOINT ["fr", "serve", "--config", "/var/lib/fr-core/server/server.toml", "--host", "0.0.0.0", "--port", "50061"]
CMD ["--device", "auto"]
