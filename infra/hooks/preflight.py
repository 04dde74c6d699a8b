"""`python3 -m infra.hooks.preflight`: whether a deployment can succeed, before anything of it is made."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.hooks.az import AzError, ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "infra" / "models.json"
RANKS = ROOT / "shared" / "llm" / "ranks"
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
SIZES = ("small", "production")
RETIRES_SOON = timedelta(days=90)
_SHORTEST_KEY = 16


@dataclass
class Findings:
    """What stands against a deployment, and what is worth a thought."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check_settings(environment: Mapping[str, str], findings: Findings) -> None:
    """Check the values that infra/main.parameters.json reads from the environment of azd."""
    for name in ("AZURE_ENV_NAME", "AZURE_LOCATION"):
        if not environment.get(name):
            findings.problems.append(f"{name} is not set: run this by 'azd up', or: azd env set {name} ...")
    size = environment.get("TENANTRY_SIZE") or SIZES[0]
    if size not in SIZES:
        findings.problems.append(f"TENANTRY_SIZE is {size}: azd env set TENANTRY_SIZE {' or '.join(SIZES)}")
    if (environment.get("TENANTRY_PRIVATE_NETWORK") or "false") not in {"true", "false"}:
        findings.problems.append("TENANTRY_PRIVATE_NETWORK is true or false")
    next_key = environment.get("TENANTRY_ADMIN_KEY_NEXT") or ""
    if next_key and len(next_key) < _SHORTEST_KEY:
        findings.problems.append(f"TENANTRY_ADMIN_KEY_NEXT has fewer than {_SHORTEST_KEY} characters")
    if not environment.get("TENANTRY_ALERT_EMAIL"):
        findings.warnings.append("nobody gets the alerts: azd env set TENANTRY_ALERT_EMAIL you@example.com")


def check_package(ranks: Path, findings: Findings) -> None:
    """Check that what the set-up puts into the package is there."""
    if sum(1 for file in ranks.iterdir() if file.suffix != ".md") == 0:
        findings.problems.append("the tokenizers' ranks are not in shared/llm/ranks: make setup")


def check_subscription(location: str, findings: Findings) -> None:
    """Check that the subscription knows the kinds of resources, and the region Flex Consumption."""
    ask("account", "show")
    states = {one["namespace"]: one["registrationState"] for one in ask("provider", "list")}
    for provider in PROVIDERS:
        if states.get(provider) != "Registered":
            findings.problems.append(f"az provider register --namespace {provider} --wait")
    regions = {_squeeze(one["name"]) for one in ask("functionapp", "list-flexconsumption-locations")}
    if _squeeze(location) not in regions:
        findings.problems.append(
            f"{location} has no Flex Consumption; there are {', '.join(sorted(regions))}"
        )


def check_vault(environment: Mapping[str, str], findings: Findings) -> None:
    """Check that a deployment which is there is not given another administrator's key.

    azd makes one up wherever it is not told the vault: a fresh checkout, or a pipeline.
    """
    group = f"rg-{environment.get('AZURE_ENV_NAME', '')}"
    if not environment.get("AZURE_KEY_VAULT_NAME") and ask("group", "exists", "--name", group):
        findings.problems.append(
            f"{group} is there already, and its administrator's key would be replaced: azd env refresh, or "
            f"azd env set AZURE_KEY_VAULT_NAME with the vault of 'az keyvault list --resource-group {group}'"
        )


def check_models(location: str, findings: Findings, now: datetime, *, exists: bool) -> None:
    """Check that each deployment's model is in the region, stays for a while, and has quota left.

    Args:
        location: The region.
        findings: Takes what is found.
        now: The time.
        exists: Whether the environment has its deployments already: they are what uses the quota.
    """
    wanted = json.loads(MODELS.read_text())["deployments"]
    offered = {
        (one["model"]["name"], one["model"]["version"]): one["model"]
        for one in ask("cognitiveservices", "model", "list", "--location", location)
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
    if not exists:
        usage = ask("cognitiveservices", "usage", "list", "--location", location)
        findings.problems.extend(_missing_quota(wanted, {one["name"]["value"]: one for one in usage}))


def _missing_quota(wanted: list[dict[str, Any]], usage: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    for deployment in wanted:
        name = f"OpenAI.{deployment['sku']}.{deployment['model']}"
        found = usage.get(name)
        left = 0 if found is None else int(found["limit"] - found["currentValue"])
        if left < deployment["capacity"]:
            yield (
                f"{name} has {left} of {deployment['capacity']} thousand tokens a minute left: lower the "
                "capacity in infra/models.json, or ask for quota: https://aka.ms/oai/quotaincrease"
            )


def _retirement(model: Mapping[str, Any]) -> datetime | None:
    text = (model.get("deprecation") or {}).get("inference")
    return None if not text else datetime.fromisoformat(text.replace("Z", "+00:00"))


def _squeeze(region: str) -> str:
    return region.replace(" ", "").lower()


def check(environment: Mapping[str, str], now: datetime) -> Findings:
    """Check everything that can be checked before a resource is made."""
    findings = Findings()
    check_settings(environment, findings)
    check_package(RANKS, findings)
    location = environment.get("AZURE_LOCATION")
    if location:
        try:
            check_subscription(location, findings)
            check_vault(environment, findings)
            check_models(location, findings, now, exists=bool(environment.get("TENANTRY_APP_NAME")))
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
