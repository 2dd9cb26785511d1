# The proxy: the JSON service on port 8001. Neither torch nor Triton is in it.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS packages
COPY requirements/proxy.lock /tmp/
# tritonclient brings a load generator that nothing here runs.
RUN python3 -m venv /opt/venv \
 && /opt/venv/bin/pip install --quiet --no-cache-dir --no-deps --require-hashes -r /tmp/proxy.lock \
 && /opt/venv/bin/pip uninstall --quiet --yes pip setuptools \
 && rm -f /opt/venv/bin/perf_analyzer /opt/venv/bin/perf_client

FROM ${PYTHON_IMAGE}
# For the health check, and for those that ask the same of this image from outside of this project.
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends curl \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --no-create-home --user-group service
COPY --from=packages /opt/venv /opt/venv
COPY proxy /app/proxy
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PROXY_HOST=0.0.0.0
USER 1000:1000
EXPOSE 8001
CMD ["python", "-m", "proxy"]
