"""Each setting that the code reads is set by a deployment and the sample, or is an optional one."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from shared.settings import Settings, load_settings, read_trigger_settings
from tests.deployment.bicep import INFRA, made, parse
from tests.deployment.settings import (
    CONNECTIONS,
    OF_THE_HOST,
    PAGE,
    page,
    read_by_the_app,
    read_by_triggers,
    set_by_bicep,
    set_by_the_sample,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FUNCTIONS = "infra/modules/functions.bicep"
NEVER_IN_AZURE = {"COSMOS_KEY", "SERVICEBUS", "STORAGE", "AZURE_OPENAI_API_KEY", "AzureWebJobsStorage"}
BICEP_ALONE = {"APPLICATIONINSIGHTS_CONNECTION_STRING", "BLOB_TRIGGER_SOURCE", "COSMOS_BACKGROUND_BUCKET"}


def required() -> set[str]:
    """Name what has to be set, connections aside."""
    pairs = {name for pair in CONNECTIONS for name in pair}
    by_app = {name for name, one in read_by_the_app().items() if one.default is None} - pairs
    return by_app | (read_by_triggers().keys() - read_by_the_app().keys())


def test_a_deployment_sets_what_is_required() -> None:
    assert required() - set_by_bicep() == set(), f"the code reads these: set them in {FUNCTIONS}"


def test_the_sample_sets_what_is_required() -> None:
    missing = required() - set_by_the_sample().keys()

    assert missing == set(), "the code reads these: set them in local.settings.sample.json"


@pytest.mark.parametrize("pair", CONNECTIONS)
def test_in_azure_an_identity_connects_and_locally_a_connection_string(pair: tuple[str, str]) -> None:
    connection_string, address = pair

    assert address in set_by_bicep()
    assert connection_string in set_by_the_sample()


def test_a_deployment_sets_no_key_of_a_service() -> None:
    assert set_by_bicep() & NEVER_IN_AZURE == set(), FUNCTIONS


@pytest.mark.parametrize(
    ("names", "place"),
    [(set_by_bicep, FUNCTIONS), (set_by_the_sample, "local.settings.sample.json")],
)
def test_no_setting_is_left_over(names: Callable[[], frozenset[str] | Mapping[str, str]], place: str) -> None:
    known = read_by_the_app().keys() | read_by_triggers().keys() | OF_THE_HOST.keys()

    assert set(names()) - known == set(), f"nothing reads these: take them out of {place}"


def test_each_setting_of_the_host_is_set_somewhere() -> None:
    assert OF_THE_HOST.keys() - set_by_bicep() - set_by_the_sample().keys() == set()


def test_the_values_that_a_deployment_sets_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = parse("modules/functions.bicep")["variables"]
    given = variables["appSettings"]["value"] | variables["usualSettings"]["value"]
    values = given | {"COSMOS_BACKGROUND_BUCKET": "2"}
    for name, value in values.items():
        monkeypatch.setenv(name, value if isinstance(value, str) else "given")
    for name in ("ADMIN_API_KEY", "WEBHOOK_KEY"):
        monkeypatch.setenv(name, "what-the-reference-leads-to")

    settings = load_settings()

    assert settings.blob_trigger_source == "EventGrid"
    assert settings.cosmos_background_bucket == 2
    assert settings.cosmos_key is None


def test_a_reference_that_was_not_resolved_is_no_administrators_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure leaves the reference's own text where it has no access, and that text is no secret."""
    given = parse("modules/functions.bicep")["variables"]["appSettings"]["value"]["ADMIN_API_KEY"]
    values = {
        "COSMOS_ENDPOINT": "x",
        "SERVICEBUS": "x",
        "STORAGE": "x",
        "AZURE_OPENAI_ENDPOINT": "x",
        "ADMIN_API_KEY": given,
        "ADMIN_API_KEY_NEXT": given,
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(Exception, match="ADMIN_API_KEY, ADMIN_API_KEY_NEXT"):
        load_settings()


def test_an_odd_source_of_blob_events_is_the_default_while_indexing_and_named_by_readiness(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BLOB_TRIGGER_SOURCE", "Pigeons")

    assert read_trigger_settings().blob_trigger_source == "LogsAndContainerScan"
    with pytest.raises(Exception, match="BLOB_TRIGGER_SOURCE"):
        load_settings()


def test_an_operator_may_have_another_schedule_or_model_but_no_other_identity_or_store() -> None:
    """What `union` names later wins."""
    (settings,) = made("Microsoft.Web/sites/config")
    union = settings.properties["properties"]["function"]
    order = [union["type"], *union["parameters"].values()]
    usual = parse("modules/functions.bicep")["variables"]["usualSettings"]["value"].keys()
    schedules = {name for name in set_by_bicep() if name.endswith("_SCHEDULE")}

    assert order == [
        "union",
        "usualSettings",
        "extraSettings",
        "shareSettings",
        "modelKeys",
        "nextAdminKey",
        "appSettings",
        "hostSettings",
    ]
    assert usual >= schedules | {"AZURE_OPENAI_MODEL"}
    assert [name for name in usual if re.search("(?i)key|credential|clientid|uri|endpoint", name)] == []


def test_defaults_of_the_code_and_values_of_a_deployment_name_the_same_things() -> None:
    variables = parse("modules/functions.bicep")["variables"]
    values = variables["appSettings"]["value"] | variables["usualSettings"]["value"]
    defaults = {str(field.alias): field.default for field in Settings.model_fields.values()}
    models = json.loads((INFRA / "models.json").read_text())["deployments"]

    for name in (name for name in defaults if name.endswith("_QUEUE")):
        assert values[name] == defaults[name], f"{name} of {FUNCTIONS}"
    assert json.loads((INFRA / "cosmos.json").read_text())["database"] == defaults["COSMOS_DATABASE"]
    assert json.loads((INFRA / "storage.json").read_text())["containers"][0] == defaults["LOGS_CONTAINER"]
    assert models[0]["name"] == defaults["AZURE_OPENAI_MODEL"], "infra/models.json begins with the default"


def test_the_page_of_settings_is_as_the_code_has_it() -> None:
    assert PAGE.read_text() == page(), "make contract writes docs/settings.md"


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, one in read_by_the_app().items() if not one.about] == []
