#!/bin/sh
# Starts the Triton of NVIDIA's image as runtime/triton_server.py starts the embedded one.
set -eu
# LibTorch runs in Triton's own process: what OpenMP is told holds for the encoder. Unset, it takes every core.
[ "${ENCODER_THREADS:-0}" = 0 ] || export OMP_NUM_THREADS="$ENCODER_THREADS"
# The folder behind the link: an export while it loads cannot mix two models.
exec tritonserver \
  --model-repository="$(readlink -f /models/exported/model_repository)" \
  --disable-auto-complete-config \
  --model-control-mode=none \
  --strict-readiness=true \
  --http-port=8000 --grpc-port=8003 --metrics-port=8002 \
  --allow-gpu-metrics=false \
  --pinned-memory-pool-byte-size=0 \
  --exit-timeout-secs=3
