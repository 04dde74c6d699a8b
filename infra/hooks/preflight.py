"""`python3 -m infra.hooks.preflight`: whether a deployment can succeed, before anything of it is made."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.hooks.az import AzError, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "infra" / "models.json"
RANKS = ROOT / "shared" / "llm" / "ranks"
LIBRARIES = ROOT / "functions" / "console" / "static" / "vendor"
PROVIDERS = (
    "Microsoft.App",
    "Microsoft.CognitiveServices",
    "Microsoft.DocumentDB",
    "Microsoft.EventGrid",
    "Microsoft.Insights",
    "Microsoft.KeyVault",
    "Microsoft.ManagedIdentity",
    "Microsoft.Network",
    "Microsoft.OperationalInsights",
    "Microsoft.ServiceBus",
    "Microsoft.Storage",
    "Microsoft.Web",
)
ACCOUNT_KIND = "OpenAI"
"""Of the account of infra/modules/models.bicep: the same models are offered for other kinds, otherwise."""
SIZES = ("small", "production")
RETIRES_SOON = timedelta(days=90)
_SHORTEST_KEY = 16
REGISTRATION_ASKS = 60
REGISTRATION_PAUSE_SECONDS = 10.0


@dataclass
class Findings:
    """What stands against a deployment, and what is worth a thought."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Present:
    """A state of the environment's resource group: what an earlier run left there.

    Attributes:
        group: Its name.
        has_app: Whether there is an app, which has its administrator's key.
        capacity: Quota that its deployments of models use already, by kind and model.
    """

    group: str
    has_app: bool = False
    capacity: Counter[tuple[str, str]] = field(default_factory=Counter)


def check_settings(environment: Mapping[str, str], findings: Findings) -> None:
    """Check the values that infra/main.parameters.json reads from the environment of azd."""
    for name in ("AZURE_ENV_NAME", "AZURE_LOCATION"):
        if not environment.get(name):
            findings.problems.append(f"{name} is not set: run this by 'azd up', or: azd env set {name} ...")
    size = environment.get("TENANTRY_SIZE") or SIZES[0]
    if size not in SIZES:
        findings.problems.append(f"TENANTRY_SIZE is {size}: azd env set TENANTRY_SIZE {' or '.join(SIZES)}")
    findings.problems.extend(
        f"{name} is true or false"
        for name in ("TENANTRY_PRIVATE_NETWORK", "TENANTRY_THROUGHPUT_BUCKETS")
        if (environment.get(name) or "false") not in {"true", "false"}
    )
    next_key = environment.get("TENANTRY_ADMIN_KEY_NEXT") or ""
    if next_key and len(next_key) < _SHORTEST_KEY:
        findings.problems.append(f"TENANTRY_ADMIN_KEY_NEXT has fewer than {_SHORTEST_KEY} characters")
    if not environment.get("TENANTRY_ALERT_EMAIL"):
        findings.warnings.append("nobody gets the alerts: azd env set TENANTRY_ALERT_EMAIL you@example.com")


def check_package(ranks: Path, libraries: Path, findings: Findings) -> None:
    """Check that what the set-up puts into the package is there."""
    if sum(1 for file in ranks.iterdir() if file.suffix != ".md") == 0:
        findings.problems.append("the tokenizers' ranks are not in shared/llm/ranks: make setup")
    if not (libraries / "libraries.js").exists():
        findings.problems.append("the console's libraries are not in functions/console: make setup")


def register_providers(findings: Findings, sleep: Callable[[float], None]) -> None:
    """Register the kinds of resources that the subscription lacks, and wait for them, 10 minutes at most."""
    missing = _unregistered()
    for provider in missing:
        print(f"preflight: registers {provider} in the subscription", flush=True)
        ask("provider", "register", "--namespace", provider)
    for _ in range(REGISTRATION_ASKS):
        if not missing:
            return
        sleep(REGISTRATION_PAUSE_SECONDS)
        missing = _unregistered()
    findings.problems.extend(
        f"{provider} is not registered yet: az provider register --namespace {provider} --wait"
        for provider in missing
    )


def _unregistered() -> list[str]:
    states = {one["namespace"]: one["registrationState"] for one in ask("provider", "list")}
    return [provider for provider in PROVIDERS if states.get(provider) != "Registered"]


def check_region(location: str, size: str, findings: Findings) -> None:
    """Check that the region has Flex Consumption; for production over several zones."""
    zones = ("--zone-redundant",) if size == "production" else ()
    found = ask("functionapp", "list-flexconsumption-locations", *zones)
    regions = {_squeeze(one["name"]) for one in found}
    if _squeeze(location) not in regions:
        what = "Flex Consumption over several zones" if zones else "Flex Consumption"
        findings.problems.append(f"{location} has no {what}; there are {', '.join(sorted(regions))}")


def find_present(environment: Mapping[str, str], location: str) -> Present:
    """Return what of the environment is there already."""
    group = f"rg-{environment.get('AZURE_ENV_NAME', '')}"
    if not ask("group", "exists", "--name", group):
        return Present(group)
    apps = ask("resource", "list", "--resource-group", group, "--resource-type", "Microsoft.Web/sites")
    capacity: Counter[tuple[str, str]] = Counter()
    for account in ask("cognitiveservices", "account", "list", "--resource-group", group):
        if _squeeze(account["location"]) == _squeeze(location):
            capacity.update(_used_by(account["name"], group))
    return Present(group, bool(apps), capacity)


def _used_by(account: str, group: str) -> Counter[tuple[str, str]]:
    words = (
        "cognitiveservices",
        "account",
        "deployment",
        "list",
        "--name",
        account,
        "--resource-group",
        group,
    )
    used: Counter[tuple[str, str]] = Counter()
    for one in ask(*words):
        used[one["sku"]["name"], one["properties"]["model"]["name"]] += one["sku"]["capacity"]
    return used


def check_vault(environment: Mapping[str, str], location: str, present: Present, findings: Findings) -> None:
    """Check that no app is given another administrator's key, and that the vault's name is free.

    azd makes a key up wherever it is not told the vault: a fresh checkout, or a pipeline. Where a first run
    failed before there was an app, nobody has the key yet.
    """
    group = present.group
    if present.has_app and not environment.get("AZURE_KEY_VAULT_NAME"):
        findings.problems.append(
            f"{group} has an app already, and its administrator's key would be replaced: azd env refresh, or "
            f"azd env set AZURE_KEY_VAULT_NAME with the vault of 'az keyvault list --resource-group {group}'"
        )
    for vault in ask("keyvault", "list-deleted", "--resource-type", "vault"):
        properties = vault["properties"]
        tag = (properties.get("tags") or {}).get("azd-env-name")
        if tag == environment.get("AZURE_ENV_NAME") and _squeeze(properties["location"]) == _squeeze(
            location
        ):
            name = vault["name"]
            findings.problems.append(
                f"{name} was deleted and keeps its name for 90 days: use another AZURE_ENV_NAME, or "
                f"az group create --name {group} --location {location} && "
                f"az keyvault recover --name {name} --resource-group {group} && "
                "azd env set AZURE_KEY_VAULT_NAME ''"
            )


def check_models(location: str, present: Present, findings: Findings, now: datetime) -> None:
    """Check that each deployment's model is in the region, stays for a while, and has quota left.

    Args:
        location: The region.
        present: What is there: its own deployments use quota that a further run needs no more of.
        findings: Takes what is found.
        now: The time.
    """
    wanted = json.loads(MODELS.read_text())["deployments"]
    offered = {
        (one["model"]["name"], one["model"]["version"]): one["model"]
        for one in ask("cognitiveservices", "model", "list", "--location", location)
        if one["kind"] == ACCOUNT_KIND
    }
    for deployment in wanted:
        model = offered.get((deployment["model"], deployment["version"]))
        label = f"{deployment['model']} {deployment['version']}"
        kinds = [] if model is None else [sku["name"] for sku in model.get("skus") or []]
        if deployment["sku"] not in kinds:
            offer = ", ".join(kinds) or "nothing"
            findings.problems.append(
                f"{location} offers {offer} of {label}, not {deployment['sku']}: change infra/models.json"
            )
        if model is not None and (end := _retirement(model)) is not None and end - now < RETIRES_SOON:
            findings.warnings.append(f"{label} retires on {end:%Y-%m-%d}: change infra/models.json")
    usage = {
        one["name"]["value"]: one for one in ask("cognitiveservices", "usage", "list", "--location", location)
    }
    findings.problems.extend(_missing_quota(wanted, usage, present.capacity))


def _missing_quota(
    wanted: list[dict[str, Any]], usage: Mapping[str, dict[str, Any]], own: Counter[tuple[str, str]]
) -> Iterator[str]:
    for deployment in wanted:
        name = f"OpenAI.{deployment['sku']}.{deployment['model']}"
        found = usage.get(name)
        left = 0 if found is None else int(found["limit"] - found["currentValue"])
        left += own[deployment["sku"], deployment["model"]]
        if left < deployment["capacity"]:
            yield (
                f"{name} has {left} of {deployment['capacity']} thousand tokens a minute left: lower the "
                "capacity in infra/models.json, or ask for quota: https://aka.ms/oai/quotaincrease"
            )


def _retirement(model: Mapping[str, Any]) -> datetime | None:
    text = (model.get("deprecation") or {}).get("inference")
    if not text:
        return None
    end = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return end if end.tzinfo else end.replace(tzinfo=timezone.utc)


def _squeeze(region: str) -> str:
    return region.replace(" ", "").lower()


def check(
    environment: Mapping[str, str], now: datetime, sleep: Callable[[float], None] = time.sleep
) -> Findings:
    """Check everything that can be checked before a resource is made."""
    findings = Findings()
    check_settings(environment, findings)
    check_package(RANKS, LIBRARIES, findings)
    location = environment.get("AZURE_LOCATION")
    if location:
        try:
            ask("account", "show")
            register_providers(findings, sleep)
            check_region(location, environment.get("TENANTRY_SIZE") or SIZES[0], findings)
            present = find_present(environment, location)
            check_vault(environment, location, present, findings)
            check_models(location, present, findings, now)
        except AzError as error:
            findings.problems.append(str(error))
    return findings


def main() -> int:
    """Say what was found; 1 where something stands against the deployment."""
    findings = check(os.environ, datetime.now(timezone.utc))
    for warning in findings.warnings:
        print(f"preflight: warning: {warning}")
    for problem in findings.problems:
        print(f"preflight: {problem}", file=sys.stderr)
    if not findings.problems:
        print("preflight: nothing stands against it")
    return 1 if findings.problems else 0


if __name__ == "__main__":
    sys.exit(main())
