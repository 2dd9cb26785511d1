"""requirements/audit.sh with a stand-in for pip-audit: known holes fail, data out of reach does not."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "requirements" / "audit.sh"
REPORT = """while [ "$1" != --output ]; do shift; done; echo '{"dependencies": []}' > "$2"; """


@pytest.mark.parametrize(
    ("pip_audit", "code", "said"),
    [
        (REPORT + "echo 'No known vulnerabilities found' >&2", 0, "pip-audit: No known vulnerabilities found\n"),
        (REPORT + "echo 'Found 1 known vulnerability' >&2; exit 1", 1, "pip-audit: Found 1 known vulnerability\n"),
        ("echo 'requests.exceptions.ConnectionError: no name' >&2; exit 1", 0, "pip-audit: skipped, "),
        ("echo 'connection timed out' >&2; exit 1", 0, "pip-audit: skipped, "),
        ("exit 124", 0, "pip-audit: skipped, "),  # as `timeout` ends
        ("echo 'ERROR: invalid requirements' >&2; exit 1", 1, "pip-audit: ERROR: invalid requirements\n"),
    ],
)
def test_how_the_audit_ends(pip_audit: str, code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pip-audit").write_text(f"#!/bin/sh\n{pip_audit}\n")
    (tmp_path / "bin" / "pip-audit").chmod(0o755)
    ended = subprocess.run([SCRIPT, tmp_path, "x.lock"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (code, "")
    assert ended.stdout.startswith(said)


def test_without_pip_audit_it_fails(tmp_path: Path) -> None:
    ended = subprocess.run([SCRIPT, tmp_path, "x.lock"], capture_output=True, text=True, check=False)
    assert ended.returncode == 127
