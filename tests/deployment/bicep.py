"""Bicep files as `pycep` reads them: parameters, resources with their properties, modules, outputs.

Its tree does not tell a text from a name; an expression is a dict with `operator` or `function`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from pycep import BicepParser

from tests.support.working_copy import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INFRA = ROOT / "infra"

type Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Declared:
    """One resource or module.

    Attributes:
        file: The file's path below `infra`.
        name: Its symbol there.
        type: The resource's type, or the module's path.
        properties: What it is given; of a loop, what each one is given.
        over: What a loop goes through; None where there is no loop.
        condition: When it is there; None for always.
        is_existing: Whether the file only refers to it.
    """

    file: str
    name: str
    type: str
    properties: Tree
    over: object = None
    condition: object = None
    is_existing: bool = False

    @property
    def place(self) -> str:
        """The file and the symbol."""
        return f"infra/{self.file}: {self.name}"


def files() -> list[str]:
    """Name every Bicep file below `infra`."""
    return sorted(str(path.relative_to(INFRA)) for path in INFRA.rglob("*.bicep"))


@cache
def parse(file: str) -> Tree:
    """Read one file."""
    return dict(BicepParser().parse(text=(INFRA / file).read_text()))


@cache
def resources() -> tuple[Declared, ...]:
    """Return the resources of every file."""
    return tuple(
        _declared(file, name, raw["type"], raw)
        for file in files()
        for name, raw in parse(file).get("resources", {}).items()
    )


def modules(file: str) -> list[Declared]:
    """Return the modules that a file uses."""
    found = parse(file).get("modules", {})
    return [_declared(file, name, raw["detail"]["path"], raw) for name, raw in found.items()]


def made(kind: str) -> list[Declared]:
    """Return the resources of a type that are made, not referred to."""
    return [one for one in resources() if one.type == kind and not one.is_existing]


def walk(node: object) -> Iterator[object]:
    """Go through a tree: itself, then everything in it."""
    yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from walk(child)


def calls(node: object, prefix: str) -> list[Tree]:
    """Return the parameters of each call of a function whose name begins so, in pycep's spelling."""
    return [
        one["function"].get("parameters") or {}
        for one in walk(node)
        if isinstance(one, dict)
        and isinstance(one.get("function"), dict)
        and str(one["function"]["type"]).startswith(prefix)
    ]


def dotted(node: object) -> str:
    """Write an access of properties as Bicep does; an index is `[]`."""
    if not (isinstance(node, dict) and isinstance(node.get("operator"), dict)):
        return str(node)
    operands = list(node["operator"]["operands"].values())
    kind = str(node["operator"]["type"])
    if kind == "property_accessor":
        return f"{dotted(operands[0])}.{dotted(operands[1])}"
    if kind in {"index_accessor", "nested_resource_accessor"}:
        return f"{dotted(operands[0])}[]" if kind == "index_accessor" else f"{operands[0]}::{operands[1]}"
    return kind + "(" + ", ".join(dotted(one) for one in operands) + ")"


def accesses(node: object) -> set[str]:
    """Return each access of properties in a tree, in full."""
    return {dotted(one) for one in walk(node) if isinstance(one, dict) and "operator" in one}


def setting_names(node: object) -> set[str]:
    """Return the names of application settings in a tree: they alone begin with a capital."""
    return {key for one in walk(node) if isinstance(one, dict) for key in one if key[:1].isupper()}


def _declared(file: str, name: str, kind: str, raw: Tree) -> Declared:
    config = raw["config"]
    over, condition = None, None
    while isinstance(config, dict) and set(config) <= {"loop_type", "condition", "config"}:
        if (loop := config.get("loop_type")) is not None:
            over = loop["detail"].get("array_name")
        condition = config.get("condition") or condition
        config = config["config"]
    return Declared(file, name, kind, config, over, condition, bool(raw.get("existing")))


def local_files(file: str) -> list[Path]:
    """Return the files that a Bicep file loads."""
    loaded = calls(parse(file), "load_")
    return [(INFRA / file).parent / str(one["file_path"]) for one in loaded]
