"""Whatever azure-cosmos documents has its row in `docs/cosmos-client-behaviour.md`: a test, or a reason.

Its names and keywords are read from the installed package, its signatures and docstrings; its topics from the
headings of the README that comes with it.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import pkgutil
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import azure.cosmos
import azure.cosmos.aio
import azure.cosmos.exceptions
import azure.cosmos.partition_key
import pytest

import tenantry_client.cosmos
import tenantry_client.cosmos.aio
from tenantry_client.cosmos.delegation import Delegated
from tests.unit_tests.tenantry_client.cosmos.test_public_names import keywords_of_theirs

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "cosmos-client-behaviour.md"
TESTS = (
    "tests/unit_tests/tenantry_client/cosmos",
    "tests/unit_tests/cosmos",
    "tests/integration_tests/local_cosmos",
)
KINDS = ("same", "delegated", "differs")
ROW = re.compile(r"^\| (?P<name>.+?) \| (?P<kind>\w+) \| (?P<says>.+) \|$")
NAMED_TEST = re.compile(r"`(test_\w+)`")
LEAST_REASON = 15
KEYWORD = re.compile(r":keyword [^:]*?(\w+):")
HEADING = re.compile(r"^#{2,4} (.+?):?\s*$")
FACES = ("CosmosClient", "DatabaseProxy", "ContainerProxy")
PACKAGES: tuple[ModuleType, ...] = (azure.cosmos, azure.cosmos.aio)


class Row(NamedTuple):
    """One behaviour: whether it is the same here, and what proves it or why it differs."""

    kind: str
    says: str


@cache
def rows() -> dict[str, Row]:
    """Return the rows of the page by what they are about."""
    found: dict[str, Row] = {}
    for line in PAGE.read_text().splitlines():
        match = ROW.match(line)
        if match is None or match["kind"] not in KINDS:
            continue
        name = match["name"].strip("`")
        assert name not in found, f"two rows about {name}"
        found[name] = Row(match["kind"], match["says"])
    return found


@cache
def existing_tests() -> frozenset[str]:
    """Return the names of the tests that rows may name."""
    texts = (path.read_text() for folder in TESTS for path in (ROOT / folder).glob("test_*.py"))
    return frozenset(
        name for text in texts for name in re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE)
    )


def public(thing: object, without: type | None = None) -> set[str]:
    """Return the public attributes of a class or a module, without those of another class."""
    return {name for name in vars(thing) if name[0] != "_"} - (
        set() if without is None else set(dir(without))
    )


def names() -> set[str]:
    """Return the names that the package has: classes, modules, and what classes have."""
    found = {name for package in PACKAGES for name in package.__all__}
    found |= {
        f"azure.cosmos.{module.name}"
        for module in pkgutil.iter_modules(azure.cosmos.__path__)
        if module.name[0] != "_"
    }
    found |= {name for name in public(azure.cosmos.exceptions) if name.startswith("Cosmos")}
    kinds = vars(azure.cosmos.partition_key).items()
    found |= {name for name, kind in kinds if isinstance(kind, type) and name.endswith("PartitionKeyValue")}
    for kind, base in (("CosmosDict", dict), ("CosmosList", list), ("PartitionKey", dict)):
        found |= {f"{kind}.{name}" for name in public(getattr(azure.cosmos, kind), base)}
    found |= {
        f"{face}.{name}" for package in PACKAGES for face in FACES for name in public(getattr(package, face))
    }
    return found


def keywords() -> set[str]:
    """Return the keywords of the methods that the client has itself, and those of the client."""
    found = set()
    for package in PACKAGES:
        for face in FACES:
            kind = getattr(package, face)
            for name in public(kind):
                row, method = rows().get(f"{face}.{name}"), getattr(kind, name)
                if row is None or row.kind == "delegated" or not inspect.isroutine(method):
                    continue
                told = keywords_of_theirs(method) | set(KEYWORD.findall(method.__doc__ or ""))
                found |= {f"{one}=" for one in told if f"{face}.{name}({one}=)" not in rows()}
                found |= {f"{face}.{name}({one}=)" for one in told if f"{face}.{name}({one}=)" in rows()}
        client = package.CosmosClient
        told = keywords_of_theirs(client.__init__) | set(KEYWORD.findall(client.__doc__ or ""))
        found |= {f"CosmosClient({one}=)" for one in told}
    return found


def topics() -> set[str]:
    """Return the headings of the package's README, up to the history of its releases."""
    text = importlib.metadata.distribution("azure-cosmos").read_text("METADATA")
    assert text is not None
    found = []
    for line in text.splitlines():
        heading = HEADING.match(line)
        if heading is not None:
            found.append(heading[1].replace("`", ""))
    return {f"README: {topic}" for topic in found[: found.index("Next steps")]}


def test_each_name_keyword_and_topic_of_azure_cosmos_has_its_row() -> None:
    assert sorted((names() | keywords() | topics()) - rows().keys()) == []


def test_no_row_is_about_what_azure_cosmos_does_not_have() -> None:
    documents = (
        "ErrorCodesAndRetries:",
        "TimeoutAndRetriesConfig:",
        "FeedRanges:",
        "PartitionKeys:",
        "Results:",
    )
    about = {name for name in rows() if not name.startswith(documents)}
    assert sorted(about - (names() | keywords() | topics())) == []


def test_each_row_names_tests_that_exist_or_a_reason() -> None:
    for name, row in rows().items():
        named = NAMED_TEST.findall(row.says)
        assert set(named) <= existing_tests(), name
        if row.kind == "differs":
            assert len(row.says) >= LEAST_REASON, f"{name} has no reason"
        else:
            assert named, f"{name} has no test"


@pytest.mark.parametrize("package", [tenantry_client.cosmos, tenantry_client.cosmos.aio])
def test_what_is_said_to_be_the_same_is_there_and_what_is_delegated_goes_to_azure_cosmos(
    package: ModuleType,
) -> None:
    beside = azure.cosmos.aio if package.__name__.endswith("aio") else azure.cosmos
    for name, row in rows().items():
        face, _, attribute = name.partition(".")
        if face not in FACES or "(" in name or attribute not in vars(getattr(beside, face)):
            continue
        own = inspect.getattr_static(getattr(package, face), attribute, None)
        if row.kind == "delegated":
            assert isinstance(own, Delegated) or "sdk(" in inspect.getsource(own), name
        elif row.kind == "same":
            assert own is not None, name
            assert not isinstance(own, Delegated), name
