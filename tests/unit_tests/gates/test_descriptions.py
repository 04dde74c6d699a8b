"""Nothing in the API document is without a description; a gap is named with the place to fill it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from pydantic import BaseModel

import function_app
from shared.http.descriptions import describe_attributes
from shared.runtime import SETTINGS
from shared.validation import TIME_PATTERN, find_words
from tests.contract.documents import API, committed

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELD = "write it in the section 'Attributes:' of the class's docstring"


def models(base: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    """Yield every model of the app."""
    for model in base.__subclasses__():
        if model.__module__.startswith(("functions.", "shared.", "tenantry_client.")):
            yield model
        yield from models(model)


def test_every_operation_says_more_than_its_summary() -> None:
    missing = [
        f"{route.name}: write it behind the first line of the handler's docstring"
        for route in function_app.runtime.routes
        if route.documented and not (inspect.getdoc(route.handler) or "").partition("\n")[2].strip()
    ]

    assert missing == []


def test_every_parameter_is_described() -> None:
    missing = {
        f"{operation['operationId']}: {parameter['name']} ({parameter['in']}): {FIELD}"
        for methods in committed(API)["paths"].values()
        for operation in methods.values()
        for parameter in operation["parameters"]
        if not parameter["description"]
    }

    assert missing == set()


def test_every_schema_and_every_field_is_described() -> None:
    schemas = committed(API)["components"]["schemas"]
    unnamed = [
        name for name, schema in schemas.items() if "properties" in schema and not schema.get("description")
    ]
    missing = [
        f"{name}.{field}: {FIELD}"
        for name, schema in schemas.items()
        for field, shown in schema.get("properties", {}).items()
        if not shown.get("description")
    ]

    assert unnamed == []
    assert missing == []


def test_every_pattern_of_a_request_has_words_for_its_refusal() -> None:
    inputs = [model for route in function_app.runtime.routes for model in route.inputs.models()]
    schemas: list[object] = [model.model_json_schema() for model in inputs]
    schemas += [setting.form() for setting in SETTINGS]
    silent = {
        f"{pattern}: give it some by shared.validation.text_pattern"
        for schema in schemas
        for pattern in patterns_in(schema)
        if find_words(pattern) is None and pattern != TIME_PATTERN
    }

    assert silent == set()


def patterns_in(schema: object) -> Iterator[str]:
    """Yield the patterns of the texts in a JSON schema, those of the keys of objects included."""
    if isinstance(schema, list):
        for part in schema:
            yield from patterns_in(part)
    if isinstance(schema, dict):
        if schema.get("type") == "string" and "pattern" in schema:
            yield schema["pattern"]
        if isinstance(schema.get("patternProperties"), dict):
            yield from schema["patternProperties"]
        for part in schema.values():
            yield from patterns_in(part)


def test_every_answer_and_header_is_described() -> None:
    api = committed(API)
    answers = [
        f"{operation['operationId']}: {status}"
        for methods in api["paths"].values()
        for operation in methods.values()
        for status, answer in operation["responses"].items()
        if not answer["description"]
    ]
    headers = [name for name, header in api["components"]["headers"].items() if not header.get("description")]

    assert answers == []
    assert headers == []


def test_a_docstring_describes_only_fields_that_there_are() -> None:
    wrong = {
        f"{model.__module__}.{model.__qualname__}: there is no field '{name}'"
        for model in models()
        for name in describe_attributes(model)
        if name not in model.model_fields
    }

    assert wrong == set()
