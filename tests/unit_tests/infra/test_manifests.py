"""Compose file, Kubernetes manifests and workflows are what their schemas say, and agree with the rest."""

from __future__ import annotations

import copy
import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from pydantic import ValidationError

from tests.deployment.bicep import INFRA
from tests.deployment.kubernetes import (
    ConfigMap,
    Deployment,
    Kustomization,
    ScaledObject,
    check_manifest,
    read_documents,
    read_manifests,
)
from tests.deployment.settings import set_by_bicep, set_by_the_sample, triggers
from tests.support.working_copy import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SCHEMAS = files("check_jsonschema.builtin_schemas") / "vendor"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
COMPOSE = yaml.safe_load((INFRA / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SCHEMAS / name).read_text(encoding="utf-8"))
    return loaded


def workflow(path: Path) -> dict[str, Any]:
    """Read a workflow; YAML 1.1 takes the key `on` for a truth."""
    loaded: dict[Any, Any] = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: value for key, value in loaded.items()}


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in workflow(path)["jobs"].values() for step in job["steps"]]


def test_the_compose_file_is_what_its_schema_says() -> None:
    jsonschema.validate(COMPOSE, schema("compose-spec.json"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_what_its_schema_says(path: Path) -> None:
    jsonschema.validate(workflow(path), schema("github-workflows.json"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_an_action_is_pinned_by_its_commit_and_says_which_release_that_is(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text())

    assert used
    assert [
        one for one in used if not re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)
    ] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_and_says_where_it_may_more(path: Path) -> None:
    read = workflow(path)

    assert read["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in read["jobs"].values())
    for step in steps(path):
        assert "${{" not in step.get("run", ""), "what others write goes into a script by a variable"
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_ci_runs_the_one_gate_and_a_release_runs_it_first() -> None:
    by_name = {path.stem: path for path in WORKFLOWS}

    assert {step.get("run") for step in steps(by_name["check"])} >= {".ci/run"}
    assert workflow(by_name["release"])["jobs"]["build"]["needs"] == "check"
    assert {"check", "codeql", "bench", "release", "deploy"} == by_name.keys()


def test_what_may_publish_a_release_runs_nothing_of_the_repository() -> None:
    """Whatever a package's build does, it has no right to sign or to publish."""
    jobs = workflow(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    publish = jobs.pop("publish")

    assert all("permissions" not in one for one in jobs.values())
    assert publish["needs"] == "build"
    assert [step.get("uses", "").partition("@")[0] for step in publish["steps"]] == [
        "",
        "actions/attest-build-provenance",
        "",
    ]
    assert [step["run"].partition(" ")[0] for step in publish["steps"] if "run" in step] == ["gh", "gh"]


def test_a_deployment_knows_no_secret() -> None:
    text = (ROOT / ".github" / "workflows" / "deploy.yml").read_text()

    assert "secrets." not in text
    assert workflow(ROOT / ".github" / "workflows" / "deploy.yml")["jobs"]["deploy"]["permissions"] == {
        "contents": "read",
        "id-token": "write",
    }


def test_each_target_that_a_workflow_makes_is_one() -> None:
    makefile = (ROOT / "Makefile").read_text()
    made = {
        name
        for path in WORKFLOWS
        for step in steps(path)
        for name in re.findall(r"make (\w+)", step.get("run", ""))
    }

    assert made >= {"setup", "release", "ratios"}
    assert [name for name in made if not re.search(rf"(?m)^{name}:", makefile)] == []


def test_every_kubernetes_manifest_is_what_the_models_say_and_is_listed() -> None:
    manifests = read_manifests()
    (listed,) = (one for one in manifests if isinstance(one, Kustomization))

    on_disk = {path.name for path in (INFRA / "kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
    assert set(listed.resources) == on_disk
    assert len(manifests) > 9


KUBERNETES = [
    pytest.param(document, id=f"{path.stem}-{document['kind']}-{document['metadata']['name']}")
    for path in sorted((INFRA / "kubernetes").glob("*.yaml"))
    for document in read_documents(path.name)
    if not re.match(r"(keda\.sh|kustomize\.config\.k8s\.io)/", document["apiVersion"])
]
"""All but KEDA's and Kustomize's kinds, which Kubernetes has no schema for: our own models check those."""


@pytest.mark.parametrize("document", KUBERNETES)
@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_a_manifest_is_what_kubernetes_own_schema_says(document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_kubernetes_schema_refuses_a_misspelt_field() -> None:
    manifest = copy.deepcopy(read_documents("http.yaml")[0])
    manifest["spec"]["replica"] = 1

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, "1.37", strict=True)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "replica"), 1),
        (("spec", "template", "spec", "securityContext", "runAsUser"), 0),
        (("spec", "template", "spec", "containers", 0, "securityContext", "readOnlyRootFilesystem"), False),
        (("spec", "template", "spec", "containers", 0, "livenessProbe", "period"), 3),
    ],
)
def test_the_models_refuse_what_is_misspelt_or_less_safe(path: tuple[str | int, ...], value: object) -> None:
    manifest = copy.deepcopy(read_documents("http.yaml")[0])
    place: Any = manifest
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value

    with pytest.raises(ValidationError):
        check_manifest(manifest)


def test_each_function_in_the_background_runs_in_one_of_the_two_deployments() -> None:
    by_name = {one.metadata.name: one for one in read_manifests() if isinstance(one, Deployment)}
    off = {
        name: {
            variable.name.split(".")[1]
            for variable in one.spec.template.spec.containers[0].env
            if variable.name.startswith("AzureWebJobs.")
        }
        for name, one in by_name.items()
    }

    assert off["tenantry-background"] == set()
    assert off["tenantry-http"] == triggers().keys(), "infra/kubernetes/http.yaml turns off what is not HTTP"


def test_keda_scales_by_each_queue_that_the_app_receives_from() -> None:
    scaled = [one for one in read_manifests() if isinstance(one, ScaledObject)]
    queues = {trigger.metadata["queueName"] for one in scaled for trigger in one.spec.triggers}

    assert queues == set(json.loads((INFRA / "triggers.json").read_text())["queues"])
    (namespace,) = {trigger.metadata["namespace"] for one in scaled for trigger in one.spec.triggers}
    (settings,) = (one for one in read_manifests() if isinstance(one, ConfigMap))
    assert settings.data["SERVICEBUS__fullyQualifiedNamespace"].startswith(f"{namespace}.")


HOST_ID = "AzureFunctionsWebHost__hostid"


def test_all_pods_are_one_host_so_that_a_timer_runs_on_one_of_them() -> None:
    """The host's id is else the pod's own name, and its lock of a timer nobody else's."""
    (settings,) = (one for one in read_manifests() if isinstance(one, ConfigMap))

    assert re.fullmatch(r"[a-z0-9-]{1,32}", settings.data[HOST_ID])


def test_pods_have_the_settings_of_a_deployment() -> None:
    (settings,) = (one for one in read_manifests() if isinstance(one, ConfigMap))
    not_here = {
        "ADMIN_API_KEY",  # a secret
        "ADMIN_API_KEY_NEXT",
        "WEBHOOK_KEY",
        "APPLICATIONINSIGHTS_CONNECTION_STRING",  # a cluster has its own
        "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
        "COSMOS_BACKGROUND_BUCKET",
    }
    by_the_webhook = {name for name in set_by_bicep() if name.endswith("__clientId")} | {"AZURE_CLIENT_ID"}

    assert set_by_bicep() - not_here - by_the_webhook - settings.data.keys() == set(), (
        "infra/kubernetes/settings.yaml lacks these"
    )
    assert settings.data.keys() - set_by_bicep() == {"FUNCTIONS_WORKER_RUNTIME", HOST_ID}, (
        "infra/kubernetes/settings.yaml and infra/modules/functions.bicep differ"
    )


def test_the_emulators_have_the_containers_and_queues_of_the_one_definition() -> None:
    services = COMPOSE["services"]

    assert (
        "../local/servicebus/Config.json:/ServiceBus_Emulator/ConfigFiles/Config.json:ro"
        in (services["servicebus"]["volumes"])
    )
    assert "python -m infra.emulators" in services["containers"]["command"][-1]
    assert '"cosmos.json"' in (INFRA / "emulators.py").read_text()


def test_the_emulators_answer_where_the_sample_looks_for_them() -> None:
    published = {port for service in COMPOSE["services"].values() for port in service.get("ports", ())}
    sample = set_by_the_sample()

    assert all(port.startswith("127.0.0.1:") for port in published), "for this machine alone"
    for name in ("COSMOS_ENDPOINT", "SERVICEBUS", "STORAGE"):
        port = re.findall(r":(\d{4,5})\b", sample[name])[0]
        assert f"127.0.0.1:{port}:{port}" in published, name


def test_the_image_runs_as_nobody_from_the_locked_packages() -> None:
    assert (
        re.findall(r"(?m)^FROM (\S+)", DOCKERFILE)
        == ["mcr.microsoft.com/azure-functions/python:4-python3.13"] * 2
    )
    assert "--require-hashes" in DOCKERFILE
    assert re.findall(r"(?m)^USER (\S+)", DOCKERFILE) == ["65534:65534"]
    assert (ROOT / ".python-version").read_text().strip() in DOCKERFILE
