"""Kubernetes manifests as strict models of what this project uses: what is misspelt is refused.

The API's own schemas are not packaged anywhere small; `kubectl apply --dry-run=server` is the last word.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from tests.support.working_copy import ROOT

FOLDER = ROOT / "infra" / "kubernetes"

type Labels = dict[str, str]


class Manifest(BaseModel):
    """A part of a manifest: names in camel case, no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, strict=True)


class Metadata(Manifest):
    """Names and labels."""

    name: str | None = Field(None, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    labels: Labels = {}
    annotations: Labels = {}


class KeyRef(Manifest):
    """A key of a secret."""

    name: str
    key: str


class ValueFrom(Manifest):
    """Where a variable's value comes from."""

    secret_key_ref: KeyRef


class Variable(Manifest):
    """One variable of the environment."""

    name: str
    value: str | None = None
    value_from: ValueFrom | None = None


class Named(Manifest):
    """A reference by name."""

    name: str


class EnvironmentFrom(Manifest):
    """A map whose entries are variables."""

    config_map_ref: Named


class Port(Manifest):
    """A port of a container."""

    name: str
    container_port: int


class HttpGet(Manifest):
    """A question of a probe."""

    path: str
    port: str


class HealthProbe(Manifest):
    """A probe of a container."""

    http_get: HttpGet
    period_seconds: int = 10
    timeout_seconds: int = 1
    failure_threshold: int = 3


class Drop(Manifest):
    """Capabilities that are taken away."""

    drop: list[str]


class ContainerSecurity(Manifest):
    """What a container may do."""

    allow_privilege_escalation: Literal[False]
    read_only_root_filesystem: Literal[True]
    capabilities: Drop


class Amounts(Manifest):
    """An amount of processor and memory."""

    cpu: str | None = None
    memory: str


class Resources(Manifest):
    """What a container asks for, and what it may have."""

    requests: Amounts
    limits: Amounts


class Mount(Manifest):
    """A volume's place."""

    name: str
    mount_path: str


class ContainerSpec(Manifest):
    """A container of a pod."""

    name: str
    image: str
    ports: list[Port]
    env_from: list[EnvironmentFrom]
    env: list[Variable]
    security_context: ContainerSecurity
    resources: Resources
    startup_probe: HealthProbe
    readiness_probe: HealthProbe
    liveness_probe: HealthProbe
    volume_mounts: list[Mount]


class Seccomp(Manifest):
    """The profile of system calls."""

    type: Literal["RuntimeDefault"]


class PodSecurity(Manifest):
    """Who a pod runs as."""

    run_as_non_root: Literal[True]
    run_as_user: int = Field(gt=0)
    run_as_group: int = Field(gt=0)
    fs_group: int = Field(gt=0)
    seccomp_profile: Seccomp


class EmptyDir(Manifest):
    """A folder that lives as long as the pod."""

    size_limit: str


class Volume(Manifest):
    """A volume of a pod."""

    name: str
    empty_dir: EmptyDir


class PodSpec(Manifest):
    """A pod."""

    service_account_name: str
    termination_grace_period_seconds: int
    security_context: PodSecurity
    containers: list[ContainerSpec] = Field(min_length=1, max_length=1)
    volumes: list[Volume]


class PodTemplate(Manifest):
    """What each pod of a deployment is."""

    metadata: Metadata
    spec: PodSpec


class Selector(Manifest):
    """Labels of the pods that are meant."""

    match_labels: Labels


class RollingUpdate(Manifest):
    """How many pods may be missing or too many meanwhile."""

    max_unavailable: int
    max_surge: int


class Strategy(Manifest):
    """How new pods take over."""

    rolling_update: RollingUpdate


class DeploymentSpec(Manifest):
    """The pods of a deployment."""

    selector: Selector
    strategy: Strategy
    template: PodTemplate


class Deployment(Manifest):
    """Pods that are kept running."""

    api_version: Literal["apps/v1"]
    kind: Literal["Deployment"]
    metadata: Metadata
    spec: DeploymentSpec


class Target(Manifest):
    """What is scaled."""

    api_version: str = "apps/v1"
    kind: str = "Deployment"
    name: str


class ScaledTrigger(Manifest):
    """What KEDA looks at."""

    type: Literal["azure-servicebus"]
    metadata: Labels
    authentication_ref: Named


class ScaledSpec(Manifest):
    """How KEDA scales."""

    scale_target_ref: Target
    min_replica_count: int = Field(ge=1)
    max_replica_count: int
    cooldown_period: int
    triggers: list[ScaledTrigger] = Field(min_length=1)


class ScaledObject(Manifest):
    """KEDA's scaler of a deployment."""

    api_version: Literal["keda.sh/v1alpha1"]
    kind: Literal["ScaledObject"]
    metadata: Metadata
    spec: ScaledSpec


class PodIdentity(Manifest):
    """The identity that KEDA asks with."""

    provider: Literal["azure-workload"]
    identity_id: str


class AuthenticationSpec(Manifest):
    """How KEDA authenticates."""

    pod_identity: PodIdentity


class TriggerAuthentication(Manifest):
    """KEDA's identity."""

    api_version: Literal["keda.sh/v1alpha1"]
    kind: Literal["TriggerAuthentication"]
    metadata: Metadata
    spec: AuthenticationSpec


class ConfigMap(Manifest):
    """Settings."""

    api_version: Literal["v1"]
    kind: Literal["ConfigMap"]
    metadata: Metadata
    data: dict[str, str]


class Plain(Manifest):
    """What has no more than a name."""

    api_version: Literal["v1"]
    kind: Literal["Namespace", "ServiceAccount"]
    metadata: Metadata


class ServicePort(Manifest):
    """A port of a service."""

    name: str
    port: int
    target_port: str


class ServiceSpec(Manifest):
    """The pods behind a service."""

    selector: Labels
    ports: list[ServicePort]


class Service(Manifest):
    """An address for pods."""

    api_version: Literal["v1"]
    kind: Literal["Service"]
    metadata: Metadata
    spec: ServiceSpec


class Utilization(Manifest):
    """The use of a resource that is aimed at."""

    type: Literal["Utilization"]
    average_utilization: int = Field(gt=0, le=100)


class MeasuredResource(Manifest):
    """A resource and its aim."""

    name: Literal["cpu", "memory"]
    target: Utilization


class Metric(Manifest):
    """What decides over the number of pods."""

    type: Literal["Resource"]
    resource: MeasuredResource


class AutoscalerSpec(Manifest):
    """How a deployment is scaled."""

    scale_target_ref: Target
    min_replicas: int = Field(ge=2)
    max_replicas: int
    metrics: list[Metric] = Field(min_length=1)


class Autoscaler(Manifest):
    """Kubernetes' own scaler."""

    api_version: Literal["autoscaling/v2"]
    kind: Literal["HorizontalPodAutoscaler"]
    metadata: Metadata
    spec: AutoscalerSpec


class BudgetSpec(Manifest):
    """How many pods have to stay."""

    min_available: int
    selector: Selector


class DisruptionBudget(Manifest):
    """What an eviction has to leave."""

    api_version: Literal["policy/v1"]
    kind: Literal["PodDisruptionBudget"]
    metadata: Metadata
    spec: BudgetSpec


class ImageName(Manifest):
    """An image and what it is called here."""

    name: str
    new_name: str
    new_tag: str


class Kustomization(Manifest):
    """The list of the manifests."""

    api_version: Literal["kustomize.config.k8s.io/v1beta1"]
    kind: Literal["Kustomization"]
    namespace: str
    resources: list[str]
    images: list[ImageName]


type Document = (
    Deployment
    | ScaledObject
    | TriggerAuthentication
    | ConfigMap
    | Plain
    | Service
    | Autoscaler
    | DisruptionBudget
    | Kustomization
)

_CHECK: TypeAdapter[Document] = TypeAdapter(Annotated[Document, Field(discriminator="kind")])


def read_manifests() -> list[Document]:
    """Read and check every manifest.

    Raises:
        pydantic.ValidationError: One is not what the models say.
    """
    return [
        check_manifest(one) for file in sorted(FOLDER.glob("*.yaml")) for one in read_documents(file.name)
    ]


def read_documents(name: str) -> list[dict[str, Any]]:
    """Read the documents of one file, unchecked."""
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def check_manifest(document: object) -> Document:
    """Check one document.

    Raises:
        pydantic.ValidationError: It is not what the models say.
    """
    return _CHECK.validate_python(document)
