# The export: a Hugging Face model to a Triton model repository on a volume, then it ends.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# The one line that install.sh reads, so that no other change there installs everything again.
FROM ${PYTHON_IMAGE} AS torch
COPY pyproject.toml /tmp/
RUN grep '"torch==' /tmp/pyproject.toml > /tmp/torch.toml

FROM ${PYTHON_IMAGE} AS packages
# TORCH: another release than the project's own, as "torch==2.9.1"; what serves must be able to read what it writes.
ARG TORCH
ARG TORCH_INDEX_URL
COPY --from=torch /tmp/torch.toml /tmp/pyproject.toml
COPY requirements/install.sh requirements/export.lock /tmp/
RUN cd /tmp && PIP_NO_CACHE_DIR=1 sh install.sh /opt/venv export.lock \
 && /opt/venv/bin/pip uninstall --quiet --yes pip \
 && rm -rf /opt/venv/bin/perf_* /opt/venv/lib/python3.*/site-packages/torch/include \
           /opt/venv/lib/python3.*/site-packages/torch/test /opt/venv/lib/python3.*/site-packages/torch/bin/*test*

FROM ${PYTHON_IMAGE}
RUN useradd --uid 1000 --no-create-home --user-group service \
 && install -d -o 1000 -g 1000 /models/exported /models/hf_cache
COPY --from=packages /opt/venv /opt/venv
COPY export /app/export
COPY model_repository /app/model_repository
COPY LICENSE NOTICE /app/
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HF_HOME=/models/hf_cache \
    MODEL_REPOSITORY=/models/exported/model_repository
USER 1000:1000
# Python ends on SIGINT; SIGTERM does nothing to the first process of a container.
STOPSIGNAL SIGINT
# Without --fallback: another model than the one asked for is never exported.
CMD ["python", "-m", "export", "--if-needed"]
