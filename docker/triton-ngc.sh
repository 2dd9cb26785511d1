#!/bin/sh
# Starts the Triton of NVIDIA's image as runtime/triton_server.py starts the embedded one.
set -eu
# LibTorch runs in Triton's own process: what OpenMP is told holds for the encoder. Unset, it takes every core.
[ "${ENCODER_THREADS:-0}" = 0 ] || export OMP_NUM_THREADS="$ENCODER_THREADS"
# The folder behind the link: an export while it loads cannot mix two models.
repository=$(readlink -f /models/exported/model_repository)
# Every file is as it was exported, and there is none more; runtime/digests.py says why.
cd "$repository"
sha256sum --check --strict --quiet SHA256SUMS || { echo "error: $repository is not as it was exported: export again." >&2; exit 1; }
extra=$(find . ! -type d ! -path ./SHA256SUMS | cut -c 3- | grep -vxF "$(cut -c 67- SHA256SUMS)" || true)
[ -z "$extra" ] || { echo "error: $repository has files that are not of the export: $extra" >&2; exit 1; }
cd /
lock="model-repository,shared-memory,trace,logging:unlock=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"
# As runtime/tracing.py has it.
traces=${OTEL_EXPORTER_OTLP_TRACES_ENDPOINT:-${OTEL_EXPORTER_OTLP_ENDPOINT:+${OTEL_EXPORTER_OTLP_ENDPOINT%/}/v1/traces}}
[ "${OTEL_SDK_DISABLED:-}" != true ] && [ "${OTEL_TRACES_EXPORTER:-otlp}" = otlp ] || traces=
set --
[ -z "$traces" ] || set -- --trace-config=mode=opentelemetry --trace-config=level=TIMESTAMPS --trace-config=rate=0 \
  --trace-config=count=-1 "--trace-config=opentelemetry,url=$traces" \
  "--trace-config=opentelemetry,resource=service.name=${OTEL_SERVICE_NAME:-sentence-embedding}-triton"
exec tritonserver "$@" \
  --model-repository="$repository" \
  --disable-auto-complete-config \
  --model-control-mode=none \
  --strict-readiness=true \
  --http-port=8000 --grpc-port=8003 --metrics-port=8002 \
  --allow-gpu-metrics=false \
  --pinned-memory-pool-byte-size=0 \
  --http-restricted-api="$lock" \
  --grpc-restricted-protocol="$lock" \
  --exit-timeout-secs=3
