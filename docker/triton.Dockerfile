# Triton, from PyPI: the server, its Python backend, and torch for the encoder.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# The one line that install.sh reads, so that no other change there installs everything again.
FROM ${PYTHON_IMAGE} AS torch
COPY pyproject.toml /tmp/
RUN grep '"torch==' /tmp/pyproject.toml > /tmp/torch.toml

FROM ${PYTHON_IMAGE} AS packages
# An index of torch's CPU builds; empty for PyTorch's own.
ARG TORCH_INDEX_URL
COPY --from=torch /tmp/torch.toml /tmp/pyproject.toml
COPY requirements/install.sh requirements/triton.lock /tmp/
# Of torch, the headers, the tests and what builds extensions go; of tritonclient, the load generator.
RUN cd /tmp && PIP_NO_CACHE_DIR=1 sh install.sh /opt/venv triton.lock \
 && /opt/venv/bin/pip uninstall --quiet --yes pip \
 && rm -rf /opt/venv/bin/perf_* /opt/venv/lib/python3.*/site-packages/torch/include \
           /opt/venv/lib/python3.*/site-packages/torch/test /opt/venv/lib/python3.*/site-packages/torch/bin/*test*

FROM ${PYTHON_IMAGE}
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends curl \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --no-create-home --user-group service
COPY --from=packages /opt/venv /opt/venv
COPY runtime /app/runtime
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 TRITON_HOST=0.0.0.0 \
    MODEL_REPOSITORY=/models/exported/model_repository
# A mounted volume takes the owner that the folder has here.
RUN python -m runtime.triton_alone --lay-out \
 && install -d -o 1000 -g 1000 /models/exported
USER 1000:1000
EXPOSE 8000 8002 8003
CMD ["python", "-m", "runtime.triton_alone"]
