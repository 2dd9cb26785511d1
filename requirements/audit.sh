#!/bin/sh
# Asks pip-audit for known holes in what a lock names: audit.sh VENV LOCK. Ends with its exit code, or with 0 and one line
# where its data cannot be reached.
set -eu
report=$(mktemp)
trap 'rm -f "$report"' EXIT

# OSV's data: PyPI's service calls a package that a mirror says nothing about unknown, and passes it. A report is written
# only when every package was asked for.
code=0
said=$(timeout 120 "$1/bin/pip-audit" --vulnerability-service osv --timeout 5 --progress-spinner off --disable-pip \
  --requirement "$2" --format json --output "$report" 2>&1) || code=$?
if [ ! -s "$report" ]; then
  reason=$(printf '%s\n' "$said" | tail -n 1 | cut -c 1-100)
  case "$code $said" in
    "124 "* | *ConnectionError* | *ProxyError* | *SSLError* | *HTTPError* | *Timeout* | *"timed out"*)
      echo "pip-audit: skipped, its data cannot be reached: $reason"
      exit 0
      ;;
  esac
fi
echo "pip-audit: $said"
# With names and numbers of the holes, for the log.
[ "$code" = 0 ] || cat "$report"
exit "$code"
