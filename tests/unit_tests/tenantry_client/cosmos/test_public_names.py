"""Each method and keyword of azure-cosmos is there, is done by azure-cosmos, or is left out by name."""

from __future__ import annotations

import inspect
import re
import typing
from typing import Any

import azure.cosmos
import azure.cosmos.aio
import pytest

import tenantry_client.cosmos
import tenantry_client.cosmos.aio
from tenantry_client.cosmos import request_options
from tenantry_client.cosmos.client_core import ClientOptions
from tenantry_client.cosmos.delegation import Delegated

LEFT_OUT = {
    "get_latest_session_token": "merging tokens over feed ranges",
    "partition_key_range_id": "deprecated there",
    "full_text_score_scope": "full text search",
    "populate_query_advice": "advice on queries",
    "executor": "threads: one request follows another",
    "populate_query_metrics": "outside queries: deprecated there",
}
"""Left out, with what it is about; `docs/cosmos-client.md` says so."""
PAIRS = [
    (getattr(theirs, name), getattr(ours, name))
    for theirs, ours in (
        (azure.cosmos, tenantry_client.cosmos),
        (azure.cosmos.aio, tenantry_client.cosmos.aio),
    )
    for name in ("CosmosClient", "DatabaseProxy", "ContainerProxy")
]
METHODS = [
    pytest.param(theirs, ours, name, id=f"{theirs.__module__}.{theirs.__name__}.{name}")
    for theirs, ours in PAIRS
    for name in vars(theirs)
    if not name.startswith("_")
]


def keywords_of_theirs(method: Any) -> set[str]:  # noqa: ANN401 - any function
    """Return the names of the parameters, of all overloads together."""
    found: set[str] = set()
    for one in (method, *typing.get_overloads(inspect.unwrap(method))):
        found |= {
            name
            for name, parameter in inspect.signature(one).parameters.items()
            if parameter.kind not in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}
        }
    return found - {"self"}


def keywords_of_ours(method: Any) -> set[str] | None:  # noqa: ANN401 - any function
    """Return the names of the parameters, those of the typed keywords included; None where any is taken."""
    found: set[str] = set()
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.kind is not parameter.VAR_KEYWORD:
            found.add(name)
            continue
        typed = re.fullmatch(r"Unpack\[(\w+)\]", str(parameter.annotation))
        if typed is None:
            return None
        options = ClientOptions if typed[1] == "ClientOptions" else getattr(request_options, typed[1])
        found |= set(options.__annotations__)
    return found - {"self"}


@pytest.mark.parametrize(("theirs", "ours", "name"), METHODS)
def test_each_method_has_the_keywords_that_it_has_there(theirs: type, ours: type, name: str) -> None:
    if name in LEFT_OUT:
        assert not hasattr(ours, name)
        return
    own = inspect.getattr_static(ours, name, None)
    assert own is not None, f"{name} is neither there nor left out by name"
    method = inspect.getattr_static(theirs, name)
    if isinstance(own, Delegated | property | classmethod) or not callable(method):
        return
    taken = keywords_of_ours(own)
    if taken is not None:
        missing = keywords_of_theirs(method) - taken - LEFT_OUT.keys()
        assert missing == set()


@pytest.mark.parametrize(("theirs", "ours"), PAIRS)
def test_a_method_is_awaited_where_it_is_awaited_there(theirs: type, ours: type) -> None:
    for name in vars(theirs):
        own = inspect.getattr_static(ours, name, None)
        if name.startswith("_") or not inspect.isfunction(own):
            continue
        expected = inspect.iscoroutinefunction(inspect.unwrap(getattr(theirs, name)))
        assert inspect.iscoroutinefunction(own) == expected, name
