"""The hooks of `azd`, with a stand-in for the Azure CLI: what they find, say, and do again."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from infra.hooks import preflight, smoke, subscribe
from infra.hooks.az import AzError, ask
from tests.deployment.bicep import INFRA, parse
from tests.support.working_copy import ROOT
from tests.unit_tests.infra.fake_az import FakeAz

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NOW = datetime(2026, 11, 30, tzinfo=UTC)
ENVIRONMENT = {
    "AZURE_ENV_NAME": "prod",
    "AZURE_LOCATION": "swedencentral",
    "TENANTRY_ALERT_EMAIL": "operators@example.com",
}
MODELS = json.loads((INFRA / "models.json").read_text())["deployments"]


@pytest.fixture
def az(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeAz:
    """Stand in for a subscription in which everything is in order."""
    fake = FakeAz(tmp_path / "bin", monkeypatch)
    fake.answer("account show", {"id": "one"})
    fake.answer("group exists", value=False)
    fake.answer("keyvault list-deleted", [])
    fake.answer(
        "provider list",
        [{"namespace": one, "registrationState": "Registered"} for one in preflight.PROVIDERS],
    )
    fake.answer("functionapp list-flexconsumption-locations", [{"name": "Sweden Central"}])
    fake.answer("cognitiveservices model list", [offer(one) for one in MODELS])
    fake.answer("cognitiveservices usage list", [quota(one) for one in MODELS])
    return fake


def offer(deployment: Mapping[str, Any], retires: str = "2028-01-01T00:00:00Z") -> dict[str, object]:
    return {
        "kind": "OpenAI",
        "model": {
            "name": deployment["model"],
            "version": deployment["version"],
            "skus": [{"name": deployment["sku"]}],
            "deprecation": {"inference": retires},
        },
    }


def quota(deployment: Mapping[str, Any], used: int = 0) -> dict[str, object]:
    name = f"OpenAI.{deployment['sku']}.{deployment['model']}"
    return {"name": {"value": name}, "currentValue": used, "limit": 100}


def test_where_all_is_in_order_nothing_stands_against_it(az: FakeAz) -> None:
    findings = preflight.check(ENVIRONMENT, NOW)

    assert findings == preflight.Findings()
    assert all(line.endswith("--output json") for line in az.asked)


def test_each_problem_names_what_mends_it(az: FakeAz) -> None:
    az.answer("functionapp list-flexconsumption-locations", [{"name": "northeurope"}])
    az.answer("cognitiveservices model list", [])
    az.answer("cognitiveservices usage list", [quota(MODELS[0], used=60)])

    problems = preflight.check(ENVIRONMENT | {"TENANTRY_SIZE": "huge"}, NOW).problems

    assert "TENANTRY_SIZE is huge: azd env set TENANTRY_SIZE small or production" in problems
    assert "swedencentral has no Flex Consumption; there are northeurope" in problems
    assert any("offers nothing of gpt-4o" in one and "infra/models.json" in one for one in problems)
    assert any("gpt-4o has 40 of 50" in one and "quotaincrease" in one for one in problems)


def test_production_is_looked_for_where_the_region_has_zones(az: FakeAz) -> None:
    asked = "functionapp list-flexconsumption-locations"
    az.answer(f"{asked} --zone-redundant", [{"name": "northeurope"}])

    (problem,) = preflight.check(ENVIRONMENT | {"TENANTRY_SIZE": "production"}, NOW).problems

    assert problem == "swedencentral has no Flex Consumption over several zones; there are northeurope"
    assert preflight.check(ENVIRONMENT, NOW).problems == []


def leave_group(az: FakeAz, *, apps: int, used: int) -> None:
    """Let an earlier run have made the group, as many apps, and each deployment of a model in the region."""
    az.answer("group exists", value=True)
    az.answer("resource list", [{"name": "func-x"}] * apps)
    account = {"name": "aoai-x", "location": "swedencentral"}
    elsewhere = {"name": "aoai-y", "location": "westus"}
    az.answer("cognitiveservices account list", [account, elsewhere])
    az.answer(
        "cognitiveservices account deployment",
        [
            {"sku": {"name": one["sku"], "capacity": used}, "properties": {"model": {"name": one["model"]}}}
            for one in MODELS
        ],
    )


def test_an_app_that_is_there_keeps_its_administrators_key(az: FakeAz) -> None:
    leave_group(az, apps=1, used=0)

    (problem,) = preflight.check(ENVIRONMENT, NOW).problems

    assert "azd env set AZURE_KEY_VAULT_NAME" in problem
    assert "group exists --name rg-prod --output json" in az.asked
    assert "resource list --resource-group rg-prod --resource-type Microsoft.Web/sites" in " ".join(az.asked)
    assert preflight.check(ENVIRONMENT | {"AZURE_KEY_VAULT_NAME": "kv-x"}, NOW).problems == []


def test_a_first_run_that_failed_may_be_tried_again(az: FakeAz) -> None:
    """Its group is there, its outputs are not, and its deployments have used up the quota."""
    leave_group(az, apps=0, used=50)
    az.answer("cognitiveservices usage list", [quota(one, used=100) for one in MODELS])

    assert preflight.check(ENVIRONMENT, NOW).problems == []
    assert [line for line in az.asked if "--name aoai-y" in line] == []


def test_quota_that_others_use_is_a_problem_whatever_is_there(az: FakeAz) -> None:
    leave_group(az, apps=0, used=20)
    az.answer("cognitiveservices usage list", [quota(one, used=100) for one in MODELS])

    problems = preflight.check(ENVIRONMENT, NOW).problems

    assert len(problems) == len(MODELS)
    assert all("has 20 of 50" in one for one in problems)


def test_the_hooks_ask_in_the_subscription_of_azd(az: FakeAz, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", "the-one-of-azd")

    preflight.check(ENVIRONMENT, NOW)

    assert az.asked
    assert all(line.endswith("--subscription the-one-of-azd --output json") for line in az.asked)


def registered(*providers: str) -> list[dict[str, str]]:
    return [{"namespace": one, "registrationState": "Registered"} for one in providers]


def test_providers_that_a_fresh_subscription_lacks_are_registered_and_waited_for(
    az: FakeAz, capsys: pytest.CaptureFixture[str]
) -> None:
    az.answer("provider list", registered(*preflight.PROVIDERS[2:]))
    az.answer("provider register", None)
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        az.answer("provider list", registered(*preflight.PROVIDERS[3 - len(pauses) :]))

    findings = preflight.check(ENVIRONMENT, NOW, sleep)

    assert findings == preflight.Findings()
    assert len(pauses) == 3
    assert sum("provider register --namespace" in line for line in az.asked) == 2
    assert "registers Microsoft.CognitiveServices" in capsys.readouterr().out


def test_a_provider_that_does_not_get_registered_is_named_in_the_end(az: FakeAz) -> None:
    az.answer("provider list", registered(*preflight.PROVIDERS[1:]))
    az.answer("provider register", None)
    pauses: list[float] = []

    (problem,) = preflight.check(ENVIRONMENT, NOW, pauses.append).problems

    assert problem.endswith("az provider register --namespace Microsoft.App --wait")
    assert len(pauses) == preflight.REGISTRATION_ASKS


def test_a_vault_that_was_deleted_and_keeps_its_name_is_told_with_its_recovery(az: FakeAz) -> None:
    def deleted(name: str, environment: str, location: str) -> dict[str, object]:
        return {"name": name, "properties": {"location": location, "tags": {"azd-env-name": environment}}}

    without_tags = {"name": "kv-w", "properties": {"location": "swedencentral", "tags": None}}
    others = [deleted("kv-y", "test", "swedencentral"), deleted("kv-z", "prod", "westus"), without_tags]
    az.answer("keyvault list-deleted", [*others, deleted("kv-x", "prod", "Sweden Central")])

    (problem,) = preflight.check(ENVIRONMENT, NOW).problems

    assert problem.startswith("kv-x was deleted")
    assert "az keyvault recover --name kv-x --resource-group rg-prod" in problem


def test_a_model_is_looked_for_as_the_account_has_it(az: FakeAz) -> None:
    """The same model is listed for several kinds of accounts, and a date may have no zone."""
    of_another_kind = [offer(one) | {"kind": "AIServices"} for one in MODELS]
    az.answer("cognitiveservices model list", of_another_kind)
    assert len(preflight.check(ENVIRONMENT, NOW).problems) == len(MODELS)

    zoneless = [offer(one, "2027-01-01T00:00:00") for one in MODELS]
    az.answer("cognitiveservices model list", [*zoneless, *of_another_kind])
    findings = preflight.check(ENVIRONMENT, NOW)

    assert findings.problems == []
    assert len(findings.warnings) == len(MODELS)


def test_a_model_that_retires_within_three_months_is_warned_of(az: FakeAz) -> None:
    first, *others = MODELS
    soon = offer(first, "2027-02-27T00:00:00Z")
    az.answer("cognitiveservices model list", [soon, *(offer(one) for one in others)])

    (warning,) = preflight.check(ENVIRONMENT, NOW).warnings

    assert warning.startswith(f"{first['model']} {first['version']} retires on 2027-02-27")


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"AZURE_ENV_NAME": ""}, "AZURE_ENV_NAME is not set"),
        ({"AZURE_LOCATION": ""}, "AZURE_LOCATION is not set"),
        ({"TENANTRY_PRIVATE_NETWORK": "yes"}, "TENANTRY_PRIVATE_NETWORK is true or false"),
        ({"TENANTRY_THROUGHPUT_BUCKETS": "on"}, "TENANTRY_THROUGHPUT_BUCKETS is true or false"),
        ({"TENANTRY_ADMIN_KEY_NEXT": "fifteen-letters"}, "fewer than 16"),
    ],
)
def test_a_wrong_setting_is_found_before_anything_is_made(
    az: FakeAz, changed: dict[str, str], problem: str
) -> None:
    (found,) = preflight.check(ENVIRONMENT | changed, NOW).problems

    assert problem in found


def test_nobody_who_gets_the_alerts_is_warned_of(az: FakeAz) -> None:
    (warning,) = preflight.check(ENVIRONMENT | {"TENANTRY_ALERT_EMAIL": ""}, NOW).warnings

    assert "azd env set TENANTRY_ALERT_EMAIL" in warning


def test_a_package_without_what_the_set_up_puts_into_it_is_found(tmp_path: Path) -> None:
    (tmp_path / "README.md").touch()
    findings = preflight.Findings()

    preflight.check_package(tmp_path, tmp_path, findings)

    assert findings.problems == [
        "the tokenizers' ranks are not in shared/llm/ranks: make setup",
        "the console's libraries are not in functions/console: make setup",
    ]


def test_a_cli_that_is_not_logged_in_is_said_in_its_words(az: FakeAz) -> None:
    az.refuse("account show", "noise\nPlease run 'az login' to setup account.")

    (problem,) = preflight.check(ENVIRONMENT, NOW).problems

    assert problem == "'az account show' failed: Please run 'az login' to setup account."


def test_a_cli_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(AzError, match="not installed"):
        ask("account", "show")


def test_a_hook_ends_with_1_where_something_is_wrong(az: FakeAz) -> None:
    az.refuse("account show", "nobody")
    done = subprocess.run(
        [sys.executable, "-S", "-m", "infra.hooks.preflight"],
        cwd=ROOT,
        env={"PATH": az.path, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr == "preflight: 'az account show' failed: nobody\n"


def test_the_subscription_waits_for_the_hosts_key(az: FakeAz) -> None:
    az.refuse("deployment group create", "blobs_extension does not exist")
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            az.answer("deployment group create", {})

    subscribe.subscribe(
        {"AZURE_RESOURCE_GROUP": "rg", "TENANTRY_APP_NAME": "func-x", "TENANTRY_TOPIC": "topic-x"}, sleep
    )

    assert pauses == [subscribe.PAUSE_SECONDS] * 2
    assert len(az.asked) == 3
    assert "--parameters appName=func-x topicName=topic-x" in az.asked[0]
    assert str(INFRA / "events.bicep") in az.asked[0]


def test_a_subscription_that_never_works_fails_with_the_reason(az: FakeAz) -> None:
    az.refuse("deployment group create", "no right to it")

    with pytest.raises(AzError, match="no right to it"):
        subscribe.subscribe(
            {"AZURE_RESOURCE_GROUP": "rg", "TENANTRY_APP_NAME": "a", "TENANTRY_TOPIC": "t"}, lambda _: None
        )

    assert len(az.asked) == subscribe.ATTEMPTS


def test_the_administrators_key_comes_from_the_vault(az: FakeAz) -> None:
    az.answer("keyvault secret show", {"value": "the-administrators-key"})

    assert smoke.find_admin_key({"AZURE_KEY_VAULT_NAME": "kv"}) == "the-administrators-key"
    assert (
        smoke.find_admin_key({"ADMIN_API_KEY": "another-key", "AZURE_KEY_VAULT_NAME": "kv"}) == "another-key"
    )
    with pytest.raises(smoke.SmokeError):
        smoke.find_admin_key({})


def run_smoke(az: FakeAz, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {"TENANTRY_APP_URL": "http://127.0.0.1:9", "AZURE_KEY_VAULT_NAME": "kv-x", **more}
    return subprocess.run(
        [sys.executable, "-S", "-m", "infra.hooks.smoke"],
        cwd=ROOT,
        env={"PATH": az.path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_from_outside_a_private_network_the_smoke_test_says_that_it_was_skipped(az: FakeAz) -> None:
    az.refuse("keyvault secret show", "(Forbidden) Public network access is disabled")

    outside = run_smoke(az, TENANTRY_PRIVATE_NETWORK="true")
    public = run_smoke(az)

    assert (outside.returncode, outside.stderr) == (0, "")
    assert "SKIPPED, 'az keyvault secret show' failed: (Forbidden) Public network" in outside.stdout
    assert "azd hooks run postdeploy" in outside.stdout
    assert public.returncode == 1


def test_the_apps_secrets_are_read_from_the_vault_again_before_it_is_tried(az: FakeAz) -> None:
    az.answer("rest --method post", None)
    environment = {
        "AZURE_SUBSCRIPTION_ID": "one",
        "AZURE_RESOURCE_GROUP": "rg-prod",
        "TENANTRY_APP_NAME": "func-x",
    }

    smoke.resolve_references({"TENANTRY_APP_NAME": "func-x"})
    assert az.asked == []
    smoke.resolve_references(environment)

    (asked,) = az.asked
    assert "/resourceGroups/rg-prod/providers/Microsoft.Web/sites/func-x/config/configreferences/" in asked


def test_what_the_hooks_read_is_what_main_puts_out() -> None:
    outputs = parse("main.bicep")["outputs"].keys()

    assert {*subscribe.NEEDED, "AZURE_KEY_VAULT_NAME", "TENANTRY_APP_URL", "TENANTRY_APP_NAME"} <= outputs


def test_azd_runs_hooks_that_are_there() -> None:
    hooks = yaml.safe_load((ROOT / "azure.yaml").read_text())["hooks"]
    named = re.findall(r"python3 -m (infra\.hooks\.\w+)", " ".join(one["run"] for one in hooks.values()))

    assert named == ["infra.hooks.preflight", "infra.hooks.subscribe", "infra.hooks.smoke"]
    for module in named:
        assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()


def test_azd_finds_no_key_that_it_does_not_know() -> None:
    """These are of azd's schema, v1.0; azd passes over a key that is misspelt."""
    read = yaml.safe_load((ROOT / "azure.yaml").read_text())

    assert read.keys() == {"name", "metadata", "services", "hooks"}
    assert re.fullmatch("[a-z0-9]([-a-z0-9]*[a-z0-9])?", read["name"])
    assert read["services"] == {
        "app": {"project": ".", "language": "python", "host": "function", "remoteBuild": True}
    }
    assert read["hooks"].keys() <= {"preprovision", "postprovision", "predeploy", "postdeploy"}
    assert all(one.keys() == {"shell", "run"} and one["shell"] == "sh" for one in read["hooks"].values())


def test_every_parameter_of_an_environment_is_checked_by_the_preflight() -> None:
    filled = (INFRA / "main.parameters.json").read_text()
    named = set(re.findall(r"\$\{(TENANTRY_\w+)=", filled))

    assert named
    assert [name for name in named if name not in (INFRA / "hooks" / "preflight.py").read_text()] == []


def test_a_smoke_test_says_which_step_failed_and_what_came() -> None:
    nobody = smoke.Caller("http://127.0.0.1:9")

    with pytest.raises(smoke.SmokeError, match=r"GET /api/health/live: no answer .*refused"):
        nobody.must("GET", "/api/health/live")
    with pytest.raises(smoke.SmokeError, match="the job is not over within -1 s: 7"):
        smoke.wait_until(lambda: 7, lambda _: False, -1.0, "the job is not over")
