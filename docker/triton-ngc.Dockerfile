# Triton, NVIDIA's image: with the C++ LibTorch backend, which runs the same repository (docker-compose.ngc.yml).
ARG TRITONSERVER_TAG=25.12-pyt-python-py3

FROM nvcr.io/nvidia/tritonserver:${TRITONSERVER_TAG}
# What the two Python steps import, at the locked versions, for the image's own Python.
COPY requirements/triton.lock /tmp/
RUN sed -n '/^\(numpy\|tokenizers\)==/,/[^\\]$/p' /tmp/triton.lock > /tmp/steps.lock \
 && python3 -m pip install --quiet --no-cache-dir --break-system-packages --no-deps --require-hashes -r /tmp/steps.lock \
 && rm /tmp/*.lock
COPY docker/triton-ngc.sh /usr/local/bin/
USER 1000:1000
EXPOSE 8000 8002 8003
# Not the image's own, which looks for a GPU and prints a banner.
ENTRYPOINT ["/usr/local/bin/triton-ngc.sh"]
