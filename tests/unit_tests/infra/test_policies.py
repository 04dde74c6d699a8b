"""Rules of every deployment: no key, no public address behind the switch, no right that nobody needs."""

from __future__ import annotations

import json
import re

import pytest

from shared.settings import Settings
from tests.deployment.bicep import INFRA, Declared, calls, dotted, files, made, parse, resources, walk
from tests.support.working_copy import ROOT

LOCAL_AUTH_OFF: dict[str, dict[str, object]] = {
    "Microsoft.CognitiveServices/accounts": {"disableLocalAuth": True},
    "Microsoft.DocumentDB/databaseAccounts": {
        "disableLocalAuth": True,
        "disableKeyBasedMetadataWriteAccess": True,
    },
    "Microsoft.Insights/components": {"DisableLocalAuth": True},
    "Microsoft.KeyVault/vaults": {"enableRbacAuthorization": True, "enablePurgeProtection": True},
    "Microsoft.OperationalInsights/workspaces": {"features": {"disableLocalAuth": True}},
    "Microsoft.ServiceBus/namespaces": {"disableLocalAuth": True},
    "Microsoft.Storage/storageAccounts": {"allowSharedKeyAccess": False, "allowBlobPublicAccess": False},
    "Microsoft.Web/sites": {"httpsOnly": True},
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": {"allow": False},
}
"""Kinds of resources that could be asked with a key or a password, and what says that they cannot."""

BEHIND_THE_SWITCH = {
    "Microsoft.CognitiveServices/accounts": {"modelsId"},
    "Microsoft.DocumentDB/databaseAccounts": {"cosmosId"},
    "Microsoft.KeyVault/vaults": {"vaultId"},
    "Microsoft.ServiceBus/namespaces": {"servicebusId"},
    "Microsoft.Storage/storageAccounts": {"hostStorageId", "dataStorageId"},
}
"""Kinds that hold what is the tenants', and what infra/modules/endpoints.bicep calls them."""

WITHOUT_KEYS = {
    "Microsoft.Authorization/roleAssignments",
    "Microsoft.CognitiveServices/accounts/deployments",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/throughputSettings",
    "Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments",
    "Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions",
    "Microsoft.EventGrid/systemTopics",
    "Microsoft.EventGrid/systemTopics/eventSubscriptions",
    "Microsoft.Insights/actionGroups",
    "Microsoft.Insights/metricAlerts",
    "Microsoft.Insights/scheduledQueryRules",
    "Microsoft.Insights/workbooks",
    "Microsoft.KeyVault/vaults/secrets",
    "Microsoft.ManagedIdentity/userAssignedIdentities",
    "Microsoft.Network/privateDnsZones",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
    "Microsoft.Network/privateEndpoints",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
    "Microsoft.Network/virtualNetworks",
    "Microsoft.Resources/resourceGroups",
    "Microsoft.ServiceBus/namespaces/queues",
    "Microsoft.Storage/storageAccounts/blobServices",
    "Microsoft.Storage/storageAccounts/blobServices/containers",
    "Microsoft.Storage/storageAccounts/managementPolicies",
    "Microsoft.Web/serverfarms",
    "Microsoft.Web/sites/config",
}

ROLES = {
    ("app", "servicebusReceiver", "receivedFrom[]"),
    ("app", "servicebusSender", "sentTo[]"),
    ("app", "blobDataOwner", "hostStorage"),
    ("app", "queueDataContributor", "hostStorage"),
    ("app", "tableDataContributor", "hostStorage"),
    ("app", "blobDataContributor", "dataContainers[]"),
    ("app", "queueDataContributor", "dataStorage"),
    ("app", "vaultSecretsUser", "vault"),
    ("app", "openAIUser", "models"),
    ("app", "metricsPublisher", "insights"),
    ("deployer", "vaultSecretsUser", "adminKey"),
}
"""Every right that a deployment gives, but for items in Cosmos: who, which role, on what."""

SECRET_WORDS = re.compile(r"key|secret|password|sas\b|token$", re.IGNORECASE)
MAY_BE_SHOWN = {"AZURE_KEY_VAULT_NAME"}
"""An output whose name speaks of keys and which holds none: the vault's name."""


def one_made(kind: str) -> Declared:
    (found,) = made(kind)
    return found


def test_each_kind_of_resource_is_known_to_these_rules() -> None:
    kinds = {one.type for one in resources() if not one.is_existing}

    assert kinds - LOCAL_AUTH_OFF.keys() - WITHOUT_KEYS == set(), (
        "say in tests/unit_tests/infra/test_policies.py how its keys are off, or that it has none"
    )


@pytest.mark.parametrize("kind", sorted(LOCAL_AUTH_OFF))
def test_nothing_can_be_asked_with_a_key(kind: str) -> None:
    found = made(kind)

    assert found
    for one in found:
        for name, value in LOCAL_AUTH_OFF[kind].items():
            assert one.properties["properties"][name] == value, one.place


def test_no_output_is_a_secret() -> None:
    for file in files():
        secure = {
            name
            for name, one in parse(file).get("parameters", {}).items()
            if {"type": "secure"} in one["decorators"]
        }
        for name, output in parse(file).get("outputs", {}).items():
            place = f"infra/{file}: output {name}"
            assert not SECRET_WORDS.search(name) or name in MAY_BE_SHOWN, place
            assert calls(output, "list") == [], place
            assert secure.isdisjoint(one for one in walk(output) if isinstance(one, str)), place


def test_only_the_subscription_of_events_reads_a_key_and_nothing_keeps_it() -> None:
    reading = [file for file in files() if re.search(r"\blist\w*\(", (INFRA / file).read_text())]

    assert reading == ["events.bicep"]
    assert "outputs" not in parse("events.bicep") or parse("events.bicep")["outputs"] == {}


def test_secrets_come_in_as_secure_parameters() -> None:
    for file in files():
        for name, one in parse(file).get("parameters", {}).items():
            if re.search(r"apikey|secret$|password", name, re.IGNORECASE) and one["type"] == "string":
                assert {"type": "secure"} in one["decorators"], f"infra/{file}: param {name}"


@pytest.mark.parametrize("kind", sorted(BEHIND_THE_SWITCH))
def test_behind_the_switch_nothing_has_a_public_address_and_everything_a_private_one(kind: str) -> None:
    endpoints = {target["id"] for target in parse("modules/endpoints.bicep")["variables"]["targets"]["value"]}

    assert endpoints >= BEHIND_THE_SWITCH[kind]
    for one in made(kind):
        properties = one.properties["properties"]
        assert (
            dotted(properties["publicNetworkAccess"]) == "conditional(privateNetwork, Disabled, Enabled)"
        ), one.place
        if "networkAcls" in properties:
            assert dotted(properties["networkAcls"]["defaultAction"]) == (
                "conditional(privateNetwork, Deny, Allow)"
            )


def test_each_private_endpoint_has_its_zone_of_names() -> None:
    variables = parse("modules/endpoints.bicep")["variables"]

    assert {one["zone"] for one in variables["targets"]["value"]} == set(variables["zoneNames"]["value"])


def test_roles_are_given_as_listed_and_in_one_file() -> None:
    given = set()
    for one in made("Microsoft.Authorization/roleAssignments"):
        assert one.file == "modules/roles.bicep", one.place
        properties = one.properties["properties"]
        role = dotted(properties["roleDefinitionId"]["function"]["parameters"]["resource_name_1"])
        who = properties["principalId"].removesuffix("PrincipalId")
        given.add((who, role.removeprefix("roleIds."), dotted(one.properties["scope"])))

    assert given == ROLES, "infra/modules/roles.bicep and the list in test_policies.py differ"


def test_each_role_is_a_built_in_one_that_is_given() -> None:
    ids = parse("modules/roles.bicep")["variables"]["roleIds"]["value"]

    assert ids.keys() == {role for _, role, _ in ROLES}
    assert len(set(ids.values())) == len(ids)
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", one) for one in ids.values())


def test_in_cosmos_the_app_has_items_and_queries_of_one_database_and_nothing_else() -> None:
    role = one_made("Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions")
    (permissions,) = role.properties["properties"]["permissions"]
    assignment = one_made("Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments").properties["properties"]

    prefix = "Microsoft.DocumentDB/databaseAccounts/"
    assert [one.removeprefix(prefix) for one in permissions["dataActions"]] == [
        "readMetadata",
        "sqlDatabases/containers/items/*",
        "sqlDatabases/containers/executeQuery",
    ]
    assert assignment["principalId"] == "appPrincipalId"
    assert assignment["scope"] == "${cosmos.id}/dbs/${database}"


def test_one_instance_answers_many_requests_and_some_are_warm_in_production() -> None:
    parameters = parse("modules/functions.bicep")["parameters"]
    config = one_made("Microsoft.Web/sites").properties["properties"]["functionAppConfig"]
    scale = config["scaleAndConcurrency"]
    warm = parse("modules/functions.bicep")["variables"]["alwaysReady"]["value"]

    assert scale["triggers"]["http"]["perInstanceConcurrency"] == "httpConcurrency"
    assert parameters["httpConcurrency"]["default"] == 100
    assert scale["alwaysReady"] == "alwaysReady"
    assert {"name": "http", "instanceCount": 2} in list(walk(warm))
    assert scale["maximumInstanceCount"] == "maximumInstances"


def test_the_app_runs_on_flex_consumption_with_the_python_of_the_repository() -> None:
    config = one_made("Microsoft.Web/sites").properties["properties"]["functionAppConfig"]
    plan = one_made("Microsoft.Web/serverfarms").properties

    assert plan["sku"]["name"] == "FC1"
    assert config["runtime"]["name"] == "python"
    assert config["runtime"]["version"] == (ROOT / ".python-version").read_text().strip()
    assert config["deployment"]["storage"]["authentication"]["type"] == "UserAssignedIdentity"


def test_work_in_the_background_asks_in_the_bucket_that_bicep_makes() -> None:
    share = one_made("Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/throughputSettings")
    (bucket,) = share.properties["properties"]["resource"]["throughputBuckets"]
    setting = parse("modules/functions.bicep")["variables"]["shareSettings"]["value"]
    least = parse("modules/cosmos.bicep")["parameters"]["backgroundPercentage"]["default"]

    assert {"COSMOS_BACKGROUND_BUCKET": str(bucket["id"])} in list(walk(setting))
    assert dotted(share.over) == "shared"
    assert bucket["maxThroughputPercentage"] == "backgroundPercentage"
    assert 0 < least <= 50


@pytest.mark.parametrize(
    ("file", "name"), [("modules/cosmos.bicep", "shared"), ("modules/functions.bicep", "shareSettings")]
)
def test_throughput_buckets_which_are_in_preview_are_made_only_where_they_are_asked_for(
    file: str, name: str
) -> None:
    """A subscription that is not registered for the preview refuses the whole deployment."""
    assert parse("main.bicep")["parameters"]["throughputBuckets"]["default"] is False
    condition = dotted(parse(file)["variables"][name]["value"])
    assert condition.startswith("conditional(and(throughputBuckets, ")


def test_a_short_administrators_key_of_azds_is_made_long_enough_and_stays_the_same() -> None:
    """`secretOrRandomPassword` makes 15 characters; what is long enough is stored as it came."""
    (shortest,) = (
        one for one in Settings.model_fields["admin_api_key"].metadata if hasattr(one, "min_length")
    )
    decorators = parse("main.bicep")["parameters"]["adminApiKey"]["decorators"]
    (taken,) = (int(str(one["argument"])) for one in decorators if one["type"] == "min_length")
    stored = next(
        one for one in made("Microsoft.KeyVault/vaults/secrets") if "admin-api-key" in one.properties["name"]
    )

    assert taken <= 15
    assert stored.properties["properties"]["value"] == "longAdminApiKey"
    assert re.search(
        rf"\(length\(adminApiKey\) < {shortest.min_length}\) "
        r"\? '\$\{adminApiKey\}\$\{uniqueString\(adminApiKey\)\}' : adminApiKey\n",
        (INFRA / "modules" / "vault.bicep").read_text(),
    )


def test_each_parameter_that_azd_fills_in_is_one_of_main() -> None:
    filled = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    declared = parse("main.bicep")["parameters"]

    assert filled.keys() - declared.keys() == set()
    assert {name for name, one in declared.items() if one.get("default") is None} - filled.keys() == set()
