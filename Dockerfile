# The image of `responder serve`: Debian slim (google-re2 ships no wheels for musl), no root, nothing written but /var/lib/responder.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/image.txt requirements/build.txt requirements/
# pip compiles what it installs: without bytecode each start would cost two more seconds of CPU.
RUN python -m venv /opt/responder \
 && /opt/responder/bin/pip install --require-hashes --only-binary :all: -r requirements/image.txt \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY responder responder
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /dist . \
 && /opt/responder/bin/pip install --no-deps --no-index /dist/*.whl \
 && /opt/responder/bin/pip uninstall --yes pip setuptools

FROM python:${PYTHON}-slim-bookworm
LABEL org.opencontainers.image.title="responder" \
      org.opencontainers.image.description="Acts on Prometheus alerts: durable, checked, undone when it did not help." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/responder /opt/responder
COPY playbooks /usr/share/responder/playbooks
# A number, not a name: Kubernetes can check `runAsNonRoot` only on a number.
RUN install --directory --owner=65532 --group=65532 --mode=0750 /var/lib/responder
USER 65532:65532
# The root file system may be read-only: bytecode is in place, the embedded store lives on the volume.
# The number has no name of its own, and asyncssh does not connect as nobody.
ENV PATH=/opt/responder/bin:$PATH LOGNAME=responder PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /var/lib/responder
VOLUME /var/lib/responder
EXPOSE 9095
ENV RESPONDER_HEALTH_URL=http://127.0.0.1:9095/-/healthy
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(os.environ['RESPONDER_HEALTH_URL'], timeout=4)"]
# The first SIGTERM lets turns finish their step; what is left is in the store.
STOPSIGNAL SIGTERM
ENTRYPOINT ["responder"]
CMD ["serve", "--config.file=/etc/responder/responder.yml", "--web.listen-address=:9095"]
