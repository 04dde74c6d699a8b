"""The wheel in an empty environment of each Python runs the examples of docs/client.md on the platform."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import pytest
from azure.cosmos import CosmosClient, PartitionKey

from local.cosmos.wire.authorization import EMULATOR_KEY
from tests.integration_tests.client.environments import (
    VERSIONS,
    build_wheel,
    find_python,
    new_environment,
    resolve,
    skip_where_offline,
)
from tests.integration_tests.local_cosmos.endpoint import running_endpoint
from tests.integration_tests.platform import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration_tests.client.environments import Environment
    from tests.integration_tests.platform import Platform

pytestmark = pytest.mark.timeout(600)

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
IMPORT_ALL = """
import importlib, pkgutil, sys, tenantry_client
for module in pkgutil.walk_packages(tenantry_client.__path__, "tenantry_client."):
    if not module.name.endswith("__main__") and not module.name.startswith("tenantry_client.cosmos"):
        importlib.import_module(module.name)
strange = {"shared", "functions", "compat", "local", "azure"} & set(sys.modules)
assert not strange, strange
print(sys.version_info[:2], tenantry_client.__file__)
"""
DEPENDENCIES = {
    *(
        "aiohappyeyeballs",
        "aiohttp",
        "aiosignal",
        "annotated-types",
        "attrs",
        "frozenlist",
        "idna",
        "multidict",
    ),
    *(
        "propcache",
        "pydantic",
        "pydantic-core",
        "pyyaml",
        "tenacity",
        "typing-extensions",
        "typing-inspection",
    ),
    "yarl",
}


class Example(NamedTuple):
    """Something that the page tells to run, and what it says is printed; None where it says nothing."""

    language: str
    code: str
    printed: str | None


def examples() -> list[Example]:
    page = (ROOT / "docs" / "client.md").read_text()
    blocks = [(match[1], match[2]) for match in BLOCK.finditer(page)]
    following = [*blocks[1:], ("", "")]
    return [
        Example(language, code, after[1] if after[0] == "text" else None)
        for (language, code), after in zip(blocks, following, strict=True)
        if language != "text"
    ]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("client") / "dist").parent


@pytest.fixture(scope="module", params=VERSIONS)
def environment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, wheels: Path
) -> Environment:
    python = find_python(request.param)
    folder = tmp_path_factory.mktemp(f"python{request.param}")
    made = new_environment(folder / "venv", python)
    (folder / "dist").symlink_to(wheels)
    installing = examples()[0]
    assert installing.code.splitlines()[0] == "make client"  # which has built it, above
    installed = made.run("sh", "-euc", installing.code.split("\n", 1)[1], cwd=folder)
    skip_where_offline(installed.stderr)
    assert installed.returncode == 0, installed.stderr
    return made


@pytest.mark.parametrize("version", VERSIONS)
def test_all_that_the_wheel_needs_is_there_for_each_python(
    version: str, wheels: Path, tmp_path: Path
) -> None:
    [wheel] = wheels.glob("*.whl")

    resolved = resolve(f"{wheel}[azure,cosmos]", version, tmp_path)

    skip_where_offline(resolved.stderr)
    assert resolved.returncode == 0, resolved.stderr
    assert "+ azure-identity==" in resolved.stderr


def test_the_package_stands_alone_and_brings_little_with_it(environment: Environment, tmp_path: Path) -> None:
    imported = environment.run("python", "-W", "error", "-c", IMPORT_ALL, cwd=tmp_path)
    listed = environment.run("pip", "list", "--format", "freeze", cwd=tmp_path)
    checked = environment.run("pip", "check", cwd=tmp_path)

    assert (imported.stderr, checked.stdout) == ("", "No broken requirements found.\n")
    assert str(environment.folder) in imported.stdout
    names = {
        re.sub("[_.]", "-", line.split("==")[0].split(" ")[0]).lower() for line in listed.stdout.splitlines()
    }
    assert names - {"pip", "tenantry-client"} <= DEPENDENCIES


def test_the_cosmos_client_needs_no_azure_cosmos(
    environment: Environment, wheels: Path, tmp_path: Path
) -> None:
    [wheel] = wheels.glob("*.whl")
    page = (ROOT / "docs/cosmos-client.md").read_text(encoding="utf-8")
    code, printed = re.findall(r"^```(?:python|text)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    installed = environment.run("pip", "install", "--quiet", f"{wheel}[cosmos]", cwd=tmp_path)
    skip_where_offline(installed.stderr)
    assert installed.returncode == 0, installed.stderr

    with running_endpoint(tmp_path) as endpoint:
        with CosmosClient(endpoint.address, EMULATOR_KEY) as client:
            client.get_database_client("tenantry").create_container("notes", PartitionKey("/pk"))
        variables = {"COSMOS_ENDPOINT": endpoint.address, "COSMOS_KEY": EMULATOR_KEY}
        done = environment.run("python", "-W", "error", "-c", code, cwd=tmp_path, **variables)

    assert (done.stdout, done.stderr) == (printed, "")


def test_the_pages_examples_run_as_they_stand(
    environment: Environment, platform: Platform, tmp_path: Path
) -> None:
    key = platform.caller(platform.new_tenant()).key
    variables = {"TENANTRY_URL": platform.addresses["app"], "TENANTRY_KEY": key}
    ran = 0
    for example in examples()[1:]:
        command = (
            ("python", "-W", "error", "-c", example.code)
            if example.language == "python"
            else ("sh", "-euc", example.code)
        )
        done = environment.run(*command, cwd=tmp_path, **variables)
        assert (done.returncode, done.stderr) == (0, ""), example.code
        if example.printed is not None:
            assert done.stdout == example.printed
        ran += 1

    assert ran >= 5


def test_what_is_not_installed_is_named_with_the_way_to_get_it(
    environment: Environment, tmp_path: Path
) -> None:
    code = (
        "import asyncio\nfrom tenantry_client.errors import MissingExtraError\n"
        "from tenantry_client.token_client import TokenClient\n"
        "client = TokenClient('a', 'http://127.0.0.1:9', 'api://a', True)\n"
        "try:\n    asyncio.run(client.lock_tokens(1))\n"
        "except MissingExtraError as error:\n    print(error)\n"
    )

    done = environment.run("python", "-W", "error", "-c", code, cwd=tmp_path)

    assert done.stdout == "Azure AD needs more: pip install 'tenantry-client[azure]'\n", done.stderr


def test_the_command_is_installed_under_its_name(environment: Environment, tmp_path: Path) -> None:
    told = environment.run("tenantry", "--version", cwd=tmp_path)
    nothing = environment.run("tenantry", "prompts", "export", "out", cwd=tmp_path)

    assert told.stdout.startswith("tenantry ")
    assert (nothing.returncode, "TENANTRY_KEY" in nothing.stderr) == (2, True)
