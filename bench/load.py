"""Load on a service: many clients through `wrk` (or our own client where it is missing), and one client in sequence."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from bench.services import ROOT, Service
from bench.statistics import percentile
from bench.texts import AFTER, BEFORE, Queries

TIMEOUT_SECONDS = 60
_MARK = "@text@"  # where a query goes in the body

# Query number i as `Queries.text` makes it, or the log's i-th; wrk with one thread asks for one request at a time.
_SCRIPT = """
local before, names, after = %(before)s, %(names)s, %(after)s
local log = %(log)s
local total, step, offset, number = %(total)d, %(step)d, %(offset)d, %(first)d
local headers = { ["Content-Type"] = "application/json" }
local function text()
  if #log > 0 then return log[number %% #log + 1] end
  local place = (number * step + offset) %% total
  local rest = math.floor(place / #after)
  return before[math.floor(rest / #names) + 1] .. " " .. names[rest %% #names + 1] .. " " .. after[place %% #after + 1]
end
function request()
  local body = %(prefix)s .. text() .. %(suffix)s
  number = number + 1
  return wrk.format("POST", %(path)s, headers, body)
end
function done(summary, latency)
  local e = summary.errors
  local form = 'RESULT {"requests": %%d, "seconds": %%f, "errors": %%d, "mean": %%f, "p50": %%f, "p99": %%f}\\n'
  io.write(string.format(form,
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency.mean / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
"""


class LoadFailed(Exception):
    """Requests that were not answered with 200, or a client that broke."""


@dataclass(frozen=True)
class Load:
    """What came of one run. `mean`, `p50` and `p99` are seconds of a request."""

    requests: int
    seconds: float
    errors: int
    mean: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Requests answered in a second."""
        return self.requests / self.seconds


def tool() -> str:
    """What puts on the load."""
    return "wrk" if shutil.which("wrk") else "bench.client (wrk is not installed)"


def load(service: Service, clients: int, seconds: int, queries: Queries, log: Sequence[str] = ()) -> Load:
    """Short queries from `clients` connections; errors are counted.

    With `log` its texts in turn, else distinct queries. Raises `LoadFailed` where the client itself broke.
    """
    reserved = 0 if log else min(100_000, queries.total // 4)
    first = queries.reserve(reserved)
    prefix, suffix = service.single_body(_MARK).split(_MARK)
    task = {"first": first, "log": list(log), "prefix": prefix, "suffix": suffix, "path": service.single_path}
    run = _wrk if shutil.which("wrk") else _own
    result = run(service.port, clients, seconds, queries, task)
    if not log:
        queries.give_back(first + result.requests + result.errors + 2 * clients + 10)  # those under way at the end too
    return result


def checked(result: Load) -> Load:
    """The same result.

    Raises `LoadFailed` where a request failed, or none was answered.
    """
    if result.errors or not result.requests:
        raise LoadFailed(f"{result.errors} errors in {result.requests} requests")
    return result


class RequestSequence:
    """Requests sent one after another on one connection, by a client that runs beside us."""

    def __init__(self, service: Service, path: str, bodies: Iterable[str], seconds: float | None = None) -> None:
        """Starts at once. Ends with the last body, or after `seconds` of sending."""
        self._task = {"kind": "sequence", "port": service.port, "path": path, "bodies": list(bodies)}
        if seconds is not None:
            self._task["seconds"] = seconds
        self._client = _start_client(self._task)

    def stop(self) -> None:
        """Ends it early; what it measured is lost."""
        self._client.kill()
        self._client.communicate()

    def finish(self) -> list[float]:
        """Waits for the end; the seconds that each request took.

        Raises `LoadFailed` on an answer other than 200.
        """
        result = _result(self._client)
        if result["errors"]:
            raise LoadFailed(f"{result['errors']} errors in {len(result['seconds'])} requests to {self._task['path']}")
        return [float(value) for value in result["seconds"]]


def sequence(service: Service, path: str, bodies: Iterable[str]) -> list[float]:
    """The seconds of each request, sent one after another.

    Raises `LoadFailed` on an answer other than 200.
    """
    return RequestSequence(service, path, bodies).finish()


def _start_client(task: dict[str, Any]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "bench.client"]
    client = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert client.stdin is not None
    client.stdin.write(json.dumps(task) + "\n")
    client.stdin.flush()
    return client


def _result(client: "subprocess.Popen[str]") -> dict[str, Any]:
    output, _ = client.communicate()
    if client.returncode != 0:
        raise LoadFailed(f"the client ended with code {client.returncode}")
    result: dict[str, Any] = json.loads(output)
    return result


def _wrk(port: int, clients: int, seconds: int, queries: Queries, task: dict[str, Any]) -> Load:
    values = {
        "before": _lua(BEFORE),
        "names": _lua(queries.names),
        "after": _lua(AFTER),
        "log": _lua(task["log"]),
        "total": queries.total,
        "step": queries.step,
        "offset": queries.offset,
        "first": task["first"],
        **{name: _lua_string(task[name]) for name in ("prefix", "suffix", "path")},
    }
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "requests.lua"
        script.write_text(_SCRIPT % values, encoding="utf-8")
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", f"--timeout={TIMEOUT_SECONDS}s", "-s", str(script)]
        done = subprocess.run([*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=False)
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise LoadFailed(f"wrk ended with code {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
    return Load(**json.loads(line.removeprefix("RESULT ")))


def _own(port: int, clients: int, seconds: int, queries: Queries, task: dict[str, Any]) -> Load:
    del queries  # the client makes the same
    task = {**task, "kind": "load", "port": port, "clients": clients, "seconds": seconds}
    result = _result(_start_client(task))
    latencies = result["latencies"] or [float("nan")]
    p50, p99 = percentile(latencies, 50), percentile(latencies, 99)
    return Load(result["requests"], result["seconds"], result["errors"], mean(latencies), p50, p99)


def _lua(values: Sequence[str]) -> str:
    return "{" + ",".join(map(_lua_string, values)) + "}"


def _lua_string(value: str) -> str:
    """A Lua string literal; JSON's escapes of quotes and backslashes are Lua's as well.

    >>> _lua_string('{"text": "')
    '"{\\\\"text\\\\": \\\\""'
    """
    return json.dumps(value, ensure_ascii=False)
