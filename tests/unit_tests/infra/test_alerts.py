"""Each alert looks for something that the app says, and has its runbook."""

from __future__ import annotations

import json
import re

import pytest

from shared.telemetry.measurements import MEASUREMENTS
from tests.deployment.bicep import INFRA, walk
from tests.support.working_copy import ROOT
from tests.unit_tests.infra.test_definitions import QUEUES, app_sources

ALERTS = json.loads((INFRA / "alerts.json").read_text())
WORKBOOK = json.loads((INFRA / "workbook.json").read_text())
QUERIES = {one["name"]: one["query"] for one in ALERTS["logs"]}
PANELS = {one["name"]: one["content"]["query"] for one in WORKBOOK["items"] if "query" in one["content"]}


@pytest.mark.parametrize("name", [*QUERIES, *PANELS])
def test_what_a_query_looks_for_is_what_the_app_says(name: str) -> None:
    query = (QUERIES | PANELS)[name]
    code = "\n".join(file.read_text() for file in app_sources())

    for text in re.findall(r"[Mm]essage has '([^']+)'", query):
        assert f'"{text}"' in code, f"infra: {name} looks for a log line that nobody writes: {text}"
    for metric in re.findall(r"[Nn]ame == '(tenantry\.[\w.]+)'", query):
        assert metric in MEASUREMENTS or f'"{metric}"' in code, f"infra: {name}: no metric {metric}"
    for route in re.findall(r"[Nn]ame has '/([^']+)'", query):
        assert f'"{route}"' in code, f"infra: {name}: no route {route}"


def test_an_alert_on_a_queue_names_one_that_there_is() -> None:
    names = {queue["Name"] for queue in QUEUES} | {"*"}

    for alert in ALERTS["metrics"]:
        if alert["dimension"] == "EntityName":
            assert set(alert["values"]) <= names, alert["name"]


def test_each_alert_is_whole_and_its_name_is_its_own() -> None:
    alerts = [*ALERTS["logs"], *ALERTS["metrics"]]

    assert len({one["name"] for one in alerts}) == len(alerts)
    for one in alerts:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", one["name"])
        assert one["description"].endswith(".")
        assert 0 <= one["severity"] <= 4
        assert one["window"] in {"PT5M", "PT15M", "PT1H", "P1D"}


def test_the_workbook_is_what_the_service_takes() -> None:
    assert WORKBOOK["version"] == "Notebook/1.0"
    assert all(isinstance(one, dict | list | str | int) for one in walk(WORKBOOK))
    assert len(PANELS) == 7
    assert (ROOT / "infra" / "workbook.json").stat().st_size < 1_000_000
