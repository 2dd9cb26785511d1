#!/bin/sh
# Installs a lock into the virtual environment, torch's CPU build first: install.sh VENV LOCK
# Environment: PYTHON (the interpreter to make the environment with), TORCH_INDEX_URL (an index of torch's CPU builds),
# TORCH (another release than pyproject.toml's, as torch==2.9.1).
set -eu
venv=$1
lock=$2
torch=${TORCH:-$(sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' pyproject.toml)}

"${PYTHON:-python3}" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || {
  echo "error: ${PYTHON:-python3} is not Python 3.10 to 3.13; name one with PYTHON=python3.X" >&2
  exit 1
}
if [ ! -x "$venv/bin/pip" ]; then
  "${PYTHON:-python3}" -m venv "$venv" || {
    rm -rf "$venv"
    echo "error: python3 -m venv failed; on Debian and Ubuntu: apt-get install python3-venv" >&2
    exit 1
  }
fi
pip="$venv/bin/pip --quiet --disable-pip-version-check"

if ! "$venv/bin/python" -c "import importlib.metadata as m, sys; sys.exit(m.version('torch').split('+')[0] != '${torch#torch==}')" 2>/dev/null; then
  echo "Installing $torch ..."
  # A wheel in a local folder that pip is configured with; else the index of CPU builds; else PyPI's own.
  $pip install --no-deps --no-index "$torch" 2>/dev/null ||
    $pip install --no-deps --retries 1 --timeout 15 --index-url "${TORCH_INDEX_URL:-https://download.pytorch.org/whl/cpu}" "$torch" 2>/dev/null || {
    echo "warning: no CPU build of torch was found (TORCH_INDEX_URL); installing PyPI's, with gigabytes of CUDA" >&2
    $pip install "$torch"
  }
fi
echo "Installing $lock ..."
$pip install --no-deps --require-hashes -r "$lock"
