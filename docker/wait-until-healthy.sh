#!/bin/sh
# Waits until a service embeds texts, else says what is missing: wait-until-healthy.sh SERVICE COMPOSE-COMMAND...
set -eu
service=$1
shift
for _ in $(seq 60); do
  # Asked inside of the container, wherever its port is published.
  if answer=$("$@" exec -T "$service" curl -sS --max-time 10 --fail-with-body http://localhost:8001/health 2>&1); then
    echo "Ready: $answer"
    exit 0
  fi
  sleep 1
done
echo "error: $service is not healthy: $answer" >&2
exit 1
