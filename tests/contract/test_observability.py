"""Rules and dashboard against the metrics that there are, and the compose override against the files that it mounts."""

import re
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families as parse

from proxy.app import create_app
from proxy.settings import Settings
from tests.contract.observability import FOLDER, panel_queries, panels, read, rules

PROJECT = FOLDER.parents[1]
COMPOSE = yaml.safe_load((PROJECT / "docker-compose.observability.yml").read_text(encoding="utf-8"))
SCALE = yaml.safe_load((PROJECT / "docker-compose.scale.yml").read_text(encoding="utf-8"))


def told_names() -> set[str]:
    """Names of the proxy's samples, and of a histogram's."""
    names = set()
    for family in parse(TestClient(create_app(Settings())).get("/metrics").text):
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        names |= {family.name + ending for ending in endings}
    return names


def test_every_metric_that_is_asked_for_is_told() -> None:
    for where, query in {**panel_queries(), **{rule["alert"]: rule["expr"] for rule in rules()}}.items():
        asked = set(re.findall(r"\b(?:embedding|process)_\w+", query))
        assert asked <= told_names(), where
        assert asked or "nv_" in query or "up{" in query, where


def test_every_rule_says_what_is_wrong_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info"), rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description"}, rule["alert"]
        assert rule["for"], rule["alert"]
    assert len({rule["alert"] for rule in rules()}) == len(rules())


def test_the_dashboard_asks_the_source_that_is_provisioned() -> None:
    (source,) = read("grafana/datasource.yml")["datasources"]
    assert {panel["datasource"]["uid"] for panel in panels()} == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"
    places = [{*range(p["gridPos"]["x"], p["gridPos"]["x"] + p["gridPos"]["w"])} for p in panels()]
    assert all(max(place) < 24 for place in places)


@pytest.mark.parametrize("service", ["prometheus", "grafana"])
def test_what_is_mounted_is_there(service: str) -> None:
    for volume in COMPOSE["services"][service]["volumes"]:
        source = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", volume).split(":")[0]
        assert (PROJECT / source).exists() if source.startswith("./") else source in COMPOSE["volumes"], volume


def test_every_copy_is_a_target() -> None:
    targets = {target for group in read("targets/copies.yml") for target in group["targets"]}
    copies = {f"{name}:8001" for name in SCALE["services"] if name.startswith("copy-")}
    tritons = {"triton:8002"} | {f"{name}:8002" for name in SCALE["services"] if name.startswith("triton-")}
    assert targets == copies | tritons


def test_the_target_files_are_named_as_the_setting_has_them() -> None:
    assert {path.stem for path in Path(FOLDER / "targets").iterdir()} == {"single", "copies"}


def test_each_rule_has_a_test_of_its_own() -> None:
    tests = [test["name"] for test in read("alerts.test.yml")["tests"]]
    assert tests == ["all is well", *(rule["alert"] for rule in rules())]


def test_the_documentation_lists_every_alert() -> None:
    document = (PROJECT / "docs" / "observability.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| `(Embedding\w+)` \| (\w+) \|", document, re.MULTILINE)
    assert found == [(rule["alert"], rule["labels"]["severity"]) for rule in rules()]
