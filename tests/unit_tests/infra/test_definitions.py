"""Bicep, the local platform, the triggers and the code agree on containers, queues and events."""

from __future__ import annotations

import ast
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from infra.emulators import ARGUMENTS, read_properties
from local.supervisor.options import Options
from local.supervisor.parts import PLATFORM
from shared.settings import Settings
from shared.tenancy.owned_data import BLOB_CONTAINERS, CONTAINERS
from tests.deployment.bicep import INFRA, dotted, local_files, made, parse
from tests.deployment.settings import triggers
from tests.support.working_copy import ROOT

if TYPE_CHECKING:
    from pathlib import Path

COSMOS = json.loads((INFRA / "cosmos.json").read_text())
STORAGE = json.loads((INFRA / "storage.json").read_text())
TRIGGERS = json.loads((INFRA / "triggers.json").read_text())
BROKER = ROOT / "local" / "servicebus" / "Config.json"
QUEUES = json.loads(BROKER.read_text())["UserConfig"]["Namespaces"][0]["Queues"]

MAKING = {
    "create_container",
    "create_container_if_not_exists",
    "create_database",
    "create_database_if_not_exists",
    "create_queue",
    "create_topic",
    "create_subscription",
    "replace_container",
    "replace_throughput",
    "delete_container",
    "delete_database",
    "delete_queue",
}
"""Calls of the SDKs that make or remove what only a deployment may."""


def resolved(file: str) -> set[Path]:
    return {path.resolve() for path in local_files(file)}


def test_bicep_makes_the_containers_of_the_definition_whole() -> None:
    (containers,) = made("Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers")
    properties = containers.properties["properties"]

    assert resolved("modules/cosmos.bicep") == {INFRA / "cosmos.json"}
    assert dotted(containers.over) == "definition.containers"
    assert properties["resource"] == "container", "key, TTL, index and all else come with it"
    assert dotted(containers.properties["name"]) == "container.id"


def test_the_local_platform_makes_the_same_containers_and_queues() -> None:
    lines = {part.name: part.line(Options(), 0) for part in PLATFORM.below}

    assert str(INFRA / "cosmos.json") in lines["cosmos"]
    assert str(INFRA / "storage.json") in lines["azurite"]
    assert str(BROKER) in lines["servicebus"]


def test_the_definition_of_containers_is_what_the_service_takes() -> None:
    for container in COSMOS["containers"]:
        assert container.keys() <= ARGUMENTS.keys() | {"partitionKey"}, (
            f"infra/cosmos.json: {container['id']}"
        )
        key = container["partitionKey"]
        assert key["paths"][0] == "/tenant_id"
        assert key["kind"] == ("Hash" if len(key["paths"]) == 1 else "MultiHash")
        assert key["version"] == 2


@pytest.mark.parametrize("container", COSMOS["containers"], ids=lambda one: str(one["id"]))
def test_the_emulators_get_each_container_whole(container: dict[str, Any]) -> None:
    given = read_properties(container)

    key = given.pop("partition_key")
    assert dict(key) == container["partitionKey"]
    assert {name: given.pop(argument) for name, argument in ARGUMENTS.items() if argument in given} == {
        name: value for name, value in container.items() if name != "partitionKey"
    }
    assert given == {}


def test_policies_of_a_definition_are_created_and_what_cannot_be_is_refused() -> None:
    policies = {
        "uniqueKeyPolicy": {"uniqueKeys": [{"paths": ["/name"]}]},
        "vectorEmbeddingPolicy": {"vectorEmbeddings": []},
        "fullTextPolicy": {"defaultLanguage": "en-US"},
    }
    container = COSMOS["containers"][0] | policies

    given = read_properties(container)

    assert given["unique_key_policy"] == policies["uniqueKeyPolicy"]
    assert given["vector_embedding_policy"] == policies["vectorEmbeddingPolicy"]
    assert given["full_text_policy"] == policies["fullTextPolicy"]
    with pytest.raises(ValueError, match="cannot create conflictResolutionPolicy"):
        read_properties(container | {"conflictResolutionPolicy": {}})


def test_what_has_a_time_to_live_has_it_in_a_container_that_keeps_time() -> None:
    """An item's `ttl` does nothing in a container without `defaultTtl`."""
    timed = {one["id"] for one in COSMOS["containers"] if "defaultTtl" in one}

    assert timed >= {"idempotency", "ledger", "quarantine"}
    assert all(one.get("defaultTtl", -1) == -1 for one in COSMOS["containers"]), (
        "each item says for how long it is kept: defaultTtl in infra/cosmos.json is -1"
    )


@pytest.mark.slow
def test_each_container_that_the_code_opens_is_defined() -> None:
    opened = {
        str(node.args[0].value): f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in app_sources()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "container"
        and len(node.args) == 1
        and isinstance(node.args[0], ast.Constant)
    }
    defined = {one["id"] for one in COSMOS["containers"]}

    assert len(opened) > 5
    assert {place for name, place in opened.items() if name not in defined} == set(), (
        "define it in infra/cosmos.json"
    )
    assert defined == CONTAINERS.keys()


def test_bicep_makes_the_queues_of_the_emulators_configuration_with_all_of_their_properties() -> None:
    (queues,) = made("Microsoft.ServiceBus/namespaces/queues")
    given = queues.properties["properties"]

    assert resolved("modules/servicebus.bicep") == {BROKER}
    assert dotted(queues.properties["name"]) == "queue.Name"
    for queue in QUEUES:
        for name, value in queue["Properties"].items():
            spelled = name[0].lower() + name[1:]
            if name.startswith("Forward"):
                assert value == "", f"{queue['Name']}: infra/modules/servicebus.bicep forwards nothing"
            else:
                assert dotted(given[spelled]) == f"queue.Properties.{name}", (
                    f"{queue['Name']}: set {spelled} in infra/modules/servicebus.bicep"
                )


def test_duplicates_are_detected_only_where_the_app_alone_sends() -> None:
    detecting = {queue["Name"] for queue in QUEUES if queue["Properties"]["RequiresDuplicateDetection"]}
    received = set(TRIGGERS["queues"])

    assert detecting.isdisjoint(received), "two tenants may use one id"
    for queue in QUEUES:
        assert queue["Properties"]["DeadLetteringOnMessageExpiration"], queue["Name"]


def test_each_queue_that_a_setting_names_is_defined_and_each_defined_one_is_named() -> None:
    named = {
        field.default
        for name, field in Settings.model_fields.items()
        if name.endswith("_queue") and isinstance(field.default, str)
    }

    assert named == {queue["Name"] for queue in QUEUES}, (
        "local/servicebus/Config.json and the *_QUEUE settings of shared/settings.py differ"
    )


def test_the_triggers_that_infra_serves_are_those_of_the_app() -> None:
    defaults = {str(field.alias): field.default for field in Settings.model_fields.values()}
    queues, blobs = set(), set()
    for function, trigger in triggers().items():
        match trigger["type"]:
            case "serviceBusTrigger":
                setting = str(trigger["queueName"]).split("%")[1]
                queues.add(str(defaults[setting]))
            case "blobTrigger":
                setting = str(trigger["path"]).split("%")[1]
                blobs.add((function, str(defaults[setting])))

    assert set(TRIGGERS["queues"]) == queues, "infra/triggers.json names other queues than function_app.py"
    assert {(one["function"], one["container"]) for one in TRIGGERS["blobs"]} == blobs, (
        "infra/triggers.json names other blob triggers than function_app.py"
    )


def test_each_queue_that_is_received_from_requires_sessions_where_its_trigger_does() -> None:
    with_sessions = {queue["Name"] for queue in QUEUES if queue["Properties"]["RequiresSession"]}
    asking = {
        str(trigger["queueName"]) for trigger in triggers().values() if trigger.get("isSessionsEnabled")
    }

    assert len(with_sessions) == len(asking)


@pytest.mark.slow
def test_events_of_blobs_lead_to_the_trigger_in_its_container() -> None:
    (subscription,) = made("Microsoft.EventGrid/systemTopics/eventSubscriptions")
    properties = subscription.properties["properties"]

    assert resolved("events.bicep") == {INFRA / "triggers.json"}
    assert dotted(subscription.over) == "triggered.blobs"
    assert (
        "functionName=Host.Functions.${trigger.function}"
        in properties["destination"]["properties"]["endpointUrl"]
    )
    assert (
        properties["filter"]["subjectBeginsWith"] == "/blobServices/default/containers/${trigger.container}/"
    )
    assert {one["container"] for one in TRIGGERS["blobs"]} <= set(STORAGE["containers"])


def test_bicep_makes_the_blob_containers_of_the_definition() -> None:
    over = {dotted(one.over) for one in made("Microsoft.Storage/storageAccounts/blobServices/containers")}

    assert resolved("modules/storage.bicep") == {INFRA / "storage.json"}
    assert over == {"None", "definition.containers"}, (
        "the host's own container, and those of infra/storage.json"
    )
    assert tuple(STORAGE["containers"]) == BLOB_CONTAINERS


OF_OTHER_PROGRAMS = ROOT / "shared" / "blob" / "fresh_connections.py"
"""The uploader of the common library document makes a container where a program of its own asks for that."""


@pytest.mark.slow
def test_no_code_path_of_the_app_makes_or_removes_a_container_or_a_queue() -> None:
    making = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in app_sources()
        if file != OF_OTHER_PROGRAMS
        for node in ast.walk(ast.parse(file.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in MAKING)
        or (
            isinstance(node, ast.ImportFrom) and (node.module or "").startswith("azure.servicebus.management")
        )
        or (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("azure.mgmt"))
    ]

    assert making == [], "only infra/ and the local platform make these"
    asking = [file for file in app_sources() if "create_container=True" in file.read_text()]
    assert [file for file in asking if "compat" not in file.parts] == []
    parsed = parse("modules/roles.bicep")
    assert "sqlDatabases/write" not in json.dumps(parsed, default=str)


def app_sources() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(  # noqa: S603  # git, with fixed arguments
        [*command, "function_app.py", "functions", "shared"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = (ROOT / name for name in listed.stdout.splitlines() if name.endswith(".py"))
    return [file for file in found if file.is_file()]


def test_each_timer_and_blob_trigger_works_in_the_background() -> None:
    """A sweeper does by itself, a queue's edge too."""
    foreground = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in app_sources()
        if file.name == "trigger.py"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.AsyncFunctionDef)
        and any(
            "timer_trigger" in ast.unparse(one) or "blob_trigger" in ast.unparse(one)
            for one in node.decorator_list
        )
        and not {"background_work", "Sweeper"}
        & {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    ]

    assert foreground == [], "with background_work(): nobody waits for it, so it leaves chat its share"


def test_the_deployed_models_are_the_catalogues_first_ones() -> None:
    catalogue = json.loads((ROOT / "shared" / "llm" / "azure_models.json").read_text())["models"]
    chat, embeddings = (
        [name for name, facts in catalogue.items() if (facts.get("kind") == "embeddings") is wanted]
        for wanted in (False, True)
    )
    deployed = json.loads((INFRA / "models.json").read_text())["deployments"]
    names = [one["model"] for one in deployed]

    assert [one["name"] for one in deployed] == names, "a deployment is called as its model"
    assert [name for name in names if name not in embeddings] == chat[:2], (
        "infra/models.json deploys the first chat models of shared/llm/azure_models.json"
    )
    assert [name for name in names if name in embeddings] == embeddings[:1]
