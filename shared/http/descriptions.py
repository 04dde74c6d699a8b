"""Descriptions of the API document: docstrings of models and handlers, so that nothing is said twice.

A field is described in the section `Attributes:` of its class's docstring, or of the class that it is
inherited from. An operation is described by its handler's docstring, behind the first line, which is its
summary; who may call it and what its headers do follows from the declaration.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, override

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from shared.http.inputs import InputSource
from shared.tenancy.context import Role

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

    from shared.http.route import Route

_SECTION = re.compile(r"^Attributes:\n((?:(?: {4}.*)?\n?)+)", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", re.MULTILINE)
_CALLERS = {
    None: "Open to everybody; no key is needed.",
    Role.USER: "For every key and user token of a tenant.",
    Role.TENANT_ADMIN: "For keys and tokens with the role `tenant_admin`.",
    Role.ADMIN: "For the platform's administrator alone.",
}
_ACTS_FOR_TENANT = "The platform's administrator calls it with the header X-Tenant-Id."
_REPEATABLE = (
    "With an Idempotency-Key, a repeated request is answered as it was at first, and nothing is done twice."
)
_CONDITIONAL = (
    "With If-Match, it takes effect only on the state whose ETag is given; any other is answered with 412."
)


def describe_model(model: type[BaseModel]) -> str:
    """Return a class's docstring, its own or an inherited one, without the section about its attributes."""
    described = (_join_lines(_SECTION.sub("", _own_docstring(one))) for one in _documented_classes(model))
    return next((text for text in described if text), "")


def describe_attributes(model: type[BaseModel]) -> dict[str, str]:
    """Return the described attributes of a class alone, without those that it inherits."""
    section = _SECTION.search(_own_docstring(model))
    entries = _ENTRY.findall(section[1]) if section else []
    return {name: " ".join(text.split()) for name, text in entries}


def describe_fields(model: type[BaseModel]) -> dict[str, str]:
    """Return the description of each described field, by its name in Python."""
    described: dict[str, str] = {}
    for one in reversed(_documented_classes(model)):
        described |= describe_attributes(one)
    return {name: text for name, text in described.items() if name in model.model_fields}


def describe_operation(route: Route) -> str:
    """Describe an operation: its handler's words, who may call it, and what its headers do."""
    _, _, told = (inspect.getdoc(route.handler) or "").partition("\n")
    caller = _CALLERS[route.min_role]
    if route.min_role is not None and route.serves_tenants:
        caller += f" {_ACTS_FOR_TENANT}"
    paragraphs = [_join_lines(told), caller]
    if route.repeatable:
        paragraphs.append(_REPEATABLE)
    if route.inputs.takes(InputSource.IF_MATCH):
        paragraphs.append(_CONDITIONAL)
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


class DescribedJsonSchema(GenerateJsonSchema):
    """JSON schemas whose fields are described by their classes' docstrings."""

    @override
    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Render a model's schema with its descriptions."""
        rendered = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        rendered["description"] = describe_model(model)
        texts = describe_fields(model)
        for name, field in model.model_fields.items():
            alias = field.validation_alias if self.mode == "validation" else field.serialization_alias
            shown = rendered.get("properties", {}).get(alias if isinstance(alias, str) else name)
            if shown is not None and name in texts:
                shown.setdefault("description", texts[name])
        return rendered


def _documented_classes(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Return a model and the models that it inherits from, the nearest first."""
    return [one for one in model.__mro__ if issubclass(one, BaseModel) and one is not BaseModel]


def _own_docstring(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__dict__.get("__doc__") or "")


def _join_lines(text: str) -> str:
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
