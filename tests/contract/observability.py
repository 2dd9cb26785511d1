"""The files of deploy/observability/, read: what the alert rules and the dashboard ask Prometheus for."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "observability"


def read(name: str) -> Any:
    """A file of the folder, from YAML or JSON."""
    content = (FOLDER / name).read_text(encoding="utf-8")
    return json.loads(content) if name.endswith(".json") else yaml.safe_load(content)


def rules() -> list[dict[str, Any]]:
    """The alert rules."""
    return [rule for group in read("alerts.yml")["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels."""
    found: list[dict[str, Any]] = read("grafana/dashboards/embedding.json")["panels"]
    return found


def panel_queries() -> dict[str, str]:
    """Each query of the dashboard by panel and letter, with a minute in place of Grafana's variable."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "1m")
        for panel in panels()
        for target in panel["targets"]
    }


def measures() -> dict[str, str]:
    """What each alert rule compares with its limit; a rule ends with the limit."""
    found = {}
    for rule in rules():
        measure = re.fullmatch(r"(.+) (?:==|<|>) [\d.]+", rule["expr"])
        assert measure is not None, rule["alert"]
        found[rule["alert"]] = measure[1]
    return found
