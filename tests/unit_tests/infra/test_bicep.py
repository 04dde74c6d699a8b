"""Every Bicep file parses, and what it names is there; the compiler itself needs Azure's tools."""

from __future__ import annotations

import re

import pytest

from tests.deployment.bicep import INFRA, accesses, files, local_files, modules, parse, resources


@pytest.mark.parametrize("file", files())
def test_a_bicep_file_parses_and_loads_files_that_are_there(file: str) -> None:
    assert parse(file)
    assert [path for path in local_files(file) if not path.is_file()] == []


def test_no_resource_is_nested_where_pycep_would_lose_it() -> None:
    nested = [
        f"infra/{file}: {name}"
        for file in files()
        for name in re.findall(r"(?m)^ +resource (\w+) '", (INFRA / file).read_text())
    ]

    assert nested == [], "make it a resource of its own, with a parent"


@pytest.mark.parametrize("name", [one.name for one in modules("main.bicep")])
def test_a_module_gets_what_it_asks_for_and_nothing_else(name: str) -> None:
    (module,) = (one for one in modules("main.bicep") if one.name == name)
    declared = parse(module.type)["parameters"]
    given = module.properties["params"].keys()

    assert given - declared.keys() == set(), f"infra/{module.type} has no such parameter"
    required = {key for key, one in declared.items() if one.get("default") is None}
    assert required - given == set(), f"infra/main.bicep gives module {name} too little"


def test_each_output_that_is_used_is_one() -> None:
    outputs = {one.name: parse(one.type).get("outputs", {}) for one in modules("main.bicep")}
    used = {
        tuple(path.split(".")[0:3:2])
        for path in accesses(parse("main.bicep"))
        if re.fullmatch(r"\w+\.outputs\.\w+", path)
    }

    assert len(used) > 20
    assert [f"{module}.{output}" for module, output in used if output not in outputs[module]] == []


def test_every_module_is_used() -> None:
    used = {one.type for one in modules("main.bicep")}

    assert {file for file in files() if file.startswith("modules/")} == used


def test_each_resource_has_an_api_version_of_its_own_day() -> None:
    found = re.findall(
        r"'Microsoft\.[\w./]+@([\w-]+)'", "".join((INFRA / file).read_text() for file in files())
    )

    assert len(found) > 40
    assert [one for one in found if not re.fullmatch(r"20\d\d-[01]\d-[0-3]\d(-preview)?", one)] == []
    assert len(resources()) > 40
