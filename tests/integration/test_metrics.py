"""A real Prometheus scrapes the running service: rules, dashboard and stages on what it finds."""

import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from bench.ports import free_ports
from tests.contract.observability import FOLDER, measures, panel_queries, read, rules
from tests.integration.conftest import Service, running_service
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="no Prometheus: apt-get install prometheus",
)

STAGES = ["proxy", "queue", "triton", "tokenize", "encode", "pool"]


def write_configuration(folder: Path, proxy: str, triton_metrics: str) -> Path:
    """The project's own, with these targets and a scrape each second; passes promtool's check."""
    configuration = read("prometheus.yml")
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    targets = [
        {"targets": [proxy], "labels": {"job": "proxy"}},
        {"targets": [triton_metrics], "labels": {"job": "triton"}},
    ]
    (folder / "targets.yml").write_text(yaml.safe_dump(targets))
    (folder / "alerts.yml").write_text((FOLDER / "alerts.yml").read_text())
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(configuration))
    promtool("check", "config", path)
    return path


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def running_prometheus(configuration: Path) -> Iterator[httpx.Client]:
    """Its API."""
    (port,) = free_ports(1)
    options = [
        f"--config.file={configuration}",
        f"--storage.tsdb.path={configuration.parent / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    process = subprocess.Popen(["prometheus", *options])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=30) as client:
            wait_until(lambda: is_up(client), 60)
            yield client
    finally:
        process.terminate()
        process.wait(30)


def is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/status/runtimeinfo").status_code == 200
    except httpx.TransportError:
        return False


def ask(client: httpx.Client, query: str) -> list[dict[str, Any]]:
    """The samples of a query; fails on an error of Prometheus'."""
    answer = client.get("/query", params={"query": query}).json()
    assert answer["status"] == "success", f"{query}: {answer}"
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def has_numbers(client: httpx.Client, query: str) -> bool:
    return any(not math.isnan(float(sample["value"][1])) for sample in ask(client, query))


def states(client: httpx.Client) -> dict[str, tuple[str, str]]:
    """Health and state of each alert rule."""
    groups = client.get("/rules").json()["data"]["groups"]
    return {rule["name"]: (rule["health"], rule["state"]) for group in groups for rule in group["rules"]}


@pytest.fixture(scope="module")
def triton_metrics() -> int:
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def service(small_build: Path, small_stand_in: Path, triton_metrics: int) -> Iterator[Service]:
    with running_service(small_build, MODEL=str(small_stand_in), TRITON_METRICS_PORT=str(triton_metrics)) as running:
        yield running


def load(proxy: httpx.Client, turn: int) -> None:
    """A text, the same once more from the cache, a batch with one that is too long, and one that cannot be in time."""
    for _ in range(2):
        assert proxy.post("/api/v1/embed", json={"text": f"갈비탕 {turn}"}).status_code == 200
    texts = [f"text {turn}", "word " * 900]
    assert proxy.post("/api/v1/embed-batch", json={"texts": texts}).status_code == 200
    late = proxy.post("/api/v1/embed", json={"text": f"late {turn}"}, headers={"X-Request-Timeout": "0.00001"})
    assert late.status_code == 504


def test_the_files_are_what_prometheus_takes(tmp_path: Path) -> None:
    promtool("check", "rules", FOLDER / "alerts.yml")
    for name in ("single.yml", "copies.yml"):
        shutil.copy(FOLDER / "targets" / name, tmp_path / "targets.yml")
        for file in ("prometheus.yml", "alerts.yml"):
            shutil.copy(FOLDER / file, tmp_path / file)
        promtool("check", "config", tmp_path / "prometheus.yml")


def test_each_rule_fires_when_it_should() -> None:
    promtool("test", "rules", FOLDER / "alerts.test.yml")


def test_every_query_finds_numbers(service: Service, triton_metrics: int, tmp_path: Path) -> None:
    triton = f"127.0.0.1:{triton_metrics}"
    configuration = write_configuration(tmp_path, service.proxy.removeprefix("http://"), triton)
    with running_prometheus(configuration) as client, httpx.Client(base_url=service.proxy, timeout=60) as proxy:
        queries = {**panel_queries(), **measures()}
        empty = dict(queries)
        turn = 0

        def all_have_numbers() -> bool:
            nonlocal turn, empty
            turn += 1
            load(proxy, turn)
            empty = {where: query for where, query in empty.items() if not has_numbers(client, query)}
            return not empty

        try:
            wait_until(all_have_numbers, 60, 0.5)
        except AssertionError:
            pytest.fail(f"without a number: {empty}")
        stages = {sample["metric"]["stage"] for sample in ask(client, "embedding_stage_duration_seconds_sum > 0")}
        assert stages == set(STAGES)
        assert {sample["metric"]["job"] for sample in ask(client, "up == 1")} == {"proxy", "triton"}
        wait_until(lambda: states(client)["EmbeddingErrors"] == ("ok", "pending"), 30, 0.2)  # a fourth were late
        quiet = {rule["alert"]: ("ok", "inactive") for rule in rules()}
        assert states(client) == quiet | {"EmbeddingErrors": ("ok", "pending")}


def test_the_stages_of_an_answer_are_its_time(service: Service) -> None:
    with httpx.Client(base_url=service.proxy, timeout=60) as proxy:
        answers = [proxy.post("/api/v1/embed", json={"text": "a text of its own"}) for _ in range(2)]
    computed, remembered = (
        {name: float(value) for name, value in re.findall(r"(\w+);dur=([\d.]+)", answer.headers["server-timing"])}
        for answer in answers
    )
    assert list(computed) == [*STAGES, "total"]
    assert list(remembered) == ["proxy", "total"]
    total = computed.pop("total")
    assert sum(computed.values()) == pytest.approx(total, abs=0.01)
    assert computed["encode"] > computed["pool"] > 0
