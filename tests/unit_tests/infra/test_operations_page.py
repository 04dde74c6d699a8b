"""docs/operations.md: a runbook for each alert, each trigger's scaling, threats with tests, counted costs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from shared.tenancy.context import Role
from tests.deployment.bicep import INFRA
from tests.deployment.settings import triggers
from tests.support.fakes import Call
from tests.support.whole_app import whole_app
from tests.support.working_copy import ROOT

if TYPE_CHECKING:
    from tests.support.whole_app import WholeApp

PAGE = (ROOT / "docs" / "operations.md").read_text()
COUNTED = re.search(
    r"RU = (\d+) for one that goes on, (\d+) for the first of a conversation.*?"
    r"its report over HTTP \| (\d+) \+ (\d+)",
    PAGE,
    re.DOTALL,
)
MAY_DIFFER = 0.1


def section(title: str) -> str:
    found = re.search(rf"(?ms)^## {title}\n(.*?)(?=^## |\Z)", PAGE)
    assert found is not None, f"docs/operations.md has no section '{title}'"
    return found[1]


def test_each_alert_has_its_runbook_and_each_runbook_its_alert() -> None:
    alerts = json.loads((INFRA / "alerts.json").read_text())
    names = {one["name"] for one in (*alerts["logs"], *alerts["metrics"])}
    books = re.findall(r"(?ms)^### ([\w-]+)\n(.+?)(?=^#)", PAGE)

    assert {name for name, _ in books} == names, (
        "docs/operations.md: a runbook for each alert of infra/alerts.json"
    )
    assert [name for name, text in books if len(text) < 80] == []


def test_the_scaling_of_every_trigger_is_stated() -> None:
    named = set(re.findall(r"`(\w+)`", section("How each trigger scales")))

    assert triggers().keys() - named == set(), "docs/operations.md, 'How each trigger scales'"


def test_each_threat_names_tests_that_are_there() -> None:
    rows = re.findall(r"(?m)^\| ([STRIDE]) \|(.*)$", section("Threats"))

    assert {kind for kind, _ in rows} == set("STRIDE")
    for kind, row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert named, f"{kind}: {row}"
        for file, test in named:
            assert f"def {test}(" in (ROOT / file).read_text(), f"{file}::{test} is not there"


def test_what_was_not_run_is_said_with_the_command_that_shows_it() -> None:
    rows = re.findall(r"(?m)^\| (?!shows|---)(.+?) \| (.+) \|$", section("What was not run"))

    assert len(rows) >= 10
    assert [what for what, command in rows if "`" not in command and "pull request" not in command] == []


def test_the_hooks_variables_are_on_the_page() -> None:
    filled = re.findall(
        r"\$\{((?:TENANTRY|AZURE_PRINCIPAL_T)\w+)=", (INFRA / "main.parameters.json").read_text()
    )

    assert [name for name in filled if f"| `{name}` |" not in PAGE] == []


async def charge(app: WholeApp, name: str, call: Call) -> float:
    app.cosmos.transport.charge = 0.0
    await app.must(name, call)
    return app.cosmos.transport.charge


async def test_request_units_are_as_the_page_has_them() -> None:
    async with whole_app() as app:
        await app.new_tenant("acme")
        key = await app.new_key("acme", Role.TENANT_ADMIN)
        await app.must("save_bot", Call.of({"system_prompt": "You help."}, headers=key, bot_id="helper"))

        def turn(conversation: str) -> Call:
            body = {"message": "Hello?", "conversation_id": conversation}
            return Call.of(body, headers=key, bot_id="helper")

        for _ in range(2):
            await app.must("chat", turn("one"))
        goes_on = await charge(app, "chat", turn("one"))
        first = await charge(app, "chat", turn("two"))
        lock = {"app_id": "app", "token_count": 5}
        await app.must("lock_tokens", Call.of(lock, headers=key))
        locked = await charge(app, "lock_tokens", Call.of(lock, headers=key))
        answer = (await app.must("lock_tokens", Call.of(lock, headers=key))).json()
        report = {
            "app_id": "app",
            "request_id": answer["request_id"],
            "prompt_tokens": 1,
            "completion_tokens": 1,
        }
        reported = await charge(app, "report_tokens", Call.of(report, headers=key))

    assert COUNTED is not None
    assert [goes_on, first, locked, reported] == pytest.approx(
        [float(number) for number in COUNTED.groups()], rel=MAY_DIFFER
    ), "docs/operations.md, 'Sizing and cost': write what a turn and a lock cost now"
