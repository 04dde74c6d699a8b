"""Settings of the app, read from its own declarations and its triggers, as docs/settings.md shows them."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import azure.functions as func
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

import function_app
from shared.runtime import Runtime
from shared.settings import Settings
from tests.deployment.bicep import parse, setting_names
from tests.support.working_copy import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTRODUCTION = """\
# Settings of a deployment

Written by `make contract` from `shared/settings.py` and the triggers; a test compares. Azure sets what
`infra/modules/functions.bicep` says; the sample is `local.settings.sample.json`. The parameter
`extraSettings` of `infra/main.bicep` takes others. What is missing or wrong shows by name in
`/api/health/ready`; the app indexes without it.
"""

PAGE = ROOT / "docs" / "settings.md"
SAMPLE = ROOT / "local.settings.sample.json"

CONNECTIONS = (
    ("SERVICEBUS", "SERVICEBUS__fullyQualifiedNamespace"),
    ("STORAGE", "STORAGE__blobServiceUri"),
)
"""Of each pair one has to be set: a connection string, or an address for the identity."""

OF_THE_HOST = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "Lets telemetry authenticate with the identity.",
    "AZURE_CLIENT_ID": "The identity, where an instance has several.",
    "AzureWebJobsStorage": "The host's own storage: a connection string, locally.",
    "AzureWebJobsStorage__blobServiceUri": "The host's own storage, for the identity.",
    "AzureWebJobsStorage__clientId": "The identity for it.",
    "AzureWebJobsStorage__credential": "`managedidentity`.",
    "AzureWebJobsStorage__queueServiceUri": "The host's own queues, for the identity.",
    "AzureWebJobsStorage__tableServiceUri": "The host's own tables, for the identity.",
    "FUNCTIONS_WORKER_RUNTIME": "`python`, locally; Flex Consumption has it elsewhere.",
    "PYTHON_ENABLE_INIT_INDEXING": "Lets older workers stream, locally.",
    "SERVICEBUS__clientId": "The identity of the queue triggers.",
    "SERVICEBUS__credential": "`managedidentity`.",
    "STORAGE__clientId": "The identity of the blob trigger.",
    "STORAGE__credential": "`managedidentity`.",
    "STORAGE__queueServiceUri": "The queue of blobs that the trigger gave up, for the identity.",
}
"""What the Functions host and the SDKs read, not the app."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: Its name among the application settings.
        default: Its value where it is not set, as it is written; None where it has to be set.
        is_secret: Whether its value is one.
        about: What it is.
    """

    name: str
    default: str | None
    is_secret: bool
    about: str


@cache
def read_by_the_app() -> dict[str, Setting]:
    """Return the settings that the app reads, by name."""
    about = dict(_descriptions())
    settings = {}
    for field_name, field in Settings.model_fields.items():
        name = str(field.alias)
        missing = field.default is PydanticUndefined
        shown = None if missing else _show(field.default)
        is_secret = "SecretStr" in str(field.annotation) or field.annotation is SecretStr
        settings[name] = Setting(name, shown, is_secret, about[field_name])
    return settings


@cache
def read_by_triggers() -> dict[str, str]:
    """Return the settings that triggers name in percent signs, each with the functions that do."""
    found: dict[str, list[str]] = {}
    for name, trigger in triggers().items():
        for setting in re.findall(r"%(\w+)%", json.dumps(trigger, default=str)):
            found.setdefault(setting, []).append(name)
    return {setting: ", ".join(f"`{name}`" for name in names) for setting, names in found.items()}


@cache
def triggers() -> dict[str, dict[str, object]]:
    """Return the trigger of each function, as the host is told of it; those of HTTP are left out."""
    runtime, app = Runtime(), func.FunctionApp()
    for bind in function_app.CAPABILITIES:
        app.register_functions(bind(runtime))
    found = {one.get_function_name(): one.get_trigger() for one in app.get_functions()}
    return {
        str(name): trigger.get_dict_repr()
        for name, trigger in found.items()
        if trigger is not None and trigger.get_dict_repr()["type"] != "httpTrigger"
    }


@cache
def set_by_bicep() -> frozenset[str]:
    """Return the settings that a deployment has, the optional ones included."""
    return frozenset(setting_names(parse("modules/functions.bicep")["variables"]))


@cache
def set_by_the_sample() -> dict[str, str]:
    """Return the settings of the sample."""
    values: dict[str, str] = json.loads(SAMPLE.read_text())["Values"]
    return values


def page() -> str:
    """Write docs/settings.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    settings = read_by_the_app()
    yield from _INTRODUCTION.splitlines()
    yield ""
    yield "## Needed"
    yield ""
    yield "| setting | set by | is |"
    yield "|---|---|---|"
    pairs = {name for pair in CONNECTIONS for name in pair}
    for name, one in settings.items():
        if one.default is None or name in pairs:
            yield f"| `{name}` | {_set_by(name)} | {one.about} |"
    for name, functions in sorted(read_by_triggers().items()):
        if name not in settings:
            yield f"| `{name}` | {_set_by(name)} | When {functions} runs: `0 */5 * * * *` and the like. |"
    yield ""
    yield "## Optional"
    yield ""
    yield "| setting | default | set by | is |"
    yield "|---|---|---|---|"
    for name, one in settings.items():
        if one.default is not None and name not in pairs:
            yield f"| `{name}` | {one.default} | {_set_by(name)} | {one.about} |"
    yield ""
    yield "## The host's and the SDKs'"
    yield ""
    yield "| setting | set by | is |"
    yield "|---|---|---|"
    for name, about in sorted(OF_THE_HOST.items()):
        yield f"| `{name}` | {_set_by(name)} | {about} |"


def _set_by(name: str) -> str:
    places = {"Azure": name in set_by_bicep(), "sample": name in set_by_the_sample()}
    return ", ".join(place for place, sets in places.items() if sets)


def _show(default: object) -> str:
    match default:
        case None | "":
            return "none"
        case bool():
            return f"`{str(default).lower()}`"
        case dict() as pairs:
            return f"`{','.join(f'{key}={value}' for key, value in pairs.items())}`" if pairs else "none"
        case float() as number if number.is_integer():
            return f"`{int(number)}`"
        case _:
            return f"`{default}`"


def _descriptions() -> Iterator[tuple[str, str]]:
    """Give the description of each field: the text below it, or its line under `Attributes:`."""
    for kind in reversed(Settings.__mro__):
        if not kind.__module__.startswith("shared."):
            continue
        tree = ast.parse(inspect.getsource(kind)).body[0]
        if isinstance(tree, ast.ClassDef):
            yield from _listed(ast.get_docstring(tree) or "")
            yield from _below(tree.body)


def _listed(docstring: str) -> Iterator[tuple[str, str]]:
    _, _, attributes = docstring.partition("Attributes:\n")
    for name, text in re.findall(r"(?m)^    (\w+): (.+(?:\n {8}.+)*)", attributes):
        yield name, re.sub(r"\s+", " ", text)


def _below(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, text in itertools.pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            yield field.target.id, re.sub(r"\s+", " ", str(text.value.value))
