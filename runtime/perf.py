"""`python -m runtime.perf`: perf_analyzer against the running ensemble, over HTTP and gRPC, with Korean queries."""

import asyncio
import json
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

from runtime.errors import NotReady, RuntimeStopped, TritonMissing
from runtime.layout import lay_out
from runtime.ports import reachable, resolve
from runtime.readiness import ask, authority
from runtime.settings import PROJECT_ROOT, Settings, load_settings
from runtime.triton_server import perf_environment
from runtime.wheel import find_libpython, find_wheel

MODEL = "sentence_embedding"
RECIPES = PROJECT_ROOT / "tests" / "data" / "recipes.txt"
BUILT_IN_QUERIES = ("갈비탕", "김치찌개", "된장찌개 끓이는 법", "매콤한 두부 요리", "비 오는 날 먹는 국물", "아이 반찬")
CONCURRENCY = "1:4"
WINDOW_MILLISECONDS = 1500
# Any three windows count as steady, else a busy machine ends the range: this is a look, and `bench/` measures.
STEADY_PERCENT = 999


def read_queries(path: Path) -> list[str]:
    """The names, which stand before the first colon of each line; the built-in queries where the file has none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    names = [name.strip() for name, colon, _ in (line.partition(":") for line in lines) if colon and name.strip()]
    return names or list(BUILT_IN_QUERIES)


def input_data(queries: Sequence[str]) -> str:
    """perf_analyzer's input file: one request a query, `text` as BYTES of shape [1].

    >>> input_data(["갈비탕"])
    '{"data": [{"text": ["갈비탕"]}]}'
    """
    return json.dumps({"data": [{"text": [query]} for query in queries]}, ensure_ascii=False)


def perf_command(analyzer: Path, protocol: str, address: str, data: Path) -> list[str]:
    """The arguments for one measurement; `protocol` is `http` or `grpc`."""
    return [
        str(analyzer),
        *("-m", MODEL),
        *("-i", protocol),
        *("-u", address),
        *("--input-data", str(data)),
        *("--concurrency-range", CONCURRENCY),
        *("--measurement-interval", str(WINDOW_MILLISECONDS)),
        *("--stability-percentage", str(STEADY_PERCENT)),
    ]


def measure(settings: Settings) -> None:
    """Runs both measurements; what perf_analyzer prints goes where our own output goes.

    Raises `NotReady` where no server runs, and `TritonMissing` without perf_analyzer.
    """
    analyzer = Path(sysconfig.get_path("scripts")) / "perf_analyzer"
    if not analyzer.is_file():
        raise TritonMissing("perf_analyzer, which the package tritonclient brings, is missing: run `make setup`.")
    host = reachable(resolve(settings.triton_host, "TRITON_HOST", ipv4_only=True)[1])
    ready = asyncio.run(ask(host, settings.triton_http_port, f"/v2/models/{MODEL}/ready"))
    if ready is None or ready.status != 200:
        address = authority(host, settings.triton_http_port)
        raise NotReady(f"No Triton serves {MODEL} on {address} (TRITON_HTTP_PORT): start it with `make run`.")
    wheel = find_wheel()
    environment = perf_environment(wheel, lay_out(wheel, find_libpython(), PROJECT_ROOT / "build" / "triton"))
    ports = {"http": settings.triton_http_port, "grpc": settings.triton_grpc_port}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "queries.json"
        data.write_text(input_data(read_queries(RECIPES)), encoding="utf-8")
        for protocol, port in ports.items():
            print(f"== {MODEL} over {protocol}", flush=True)
            command = perf_command(analyzer, protocol, authority(host, port), data)
            code = subprocess.run(command, env=environment, check=False).returncode
            if code not in (0, 2):  # 2: measured and printed, but not steady
                raise RuntimeStopped(f"perf_analyzer over {protocol} ended with exit code {code}.")


def main() -> int:
    """Exit codes: 0 measured, 1 not, 2 a bad setting."""
    try:
        measure(load_settings())
    except RuntimeStopped as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
