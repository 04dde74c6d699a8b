"""The client's rules are the app's: it knows none of its modules, and says the same."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

from functions.prompts.models import MAX_BATCH
from shared import contracts
from shared.prompts import models as prompts
from shared.prompts.models import NamedDraft
from shared.version import VERSION
from tenantry_client import token_models, version
from tenantry_client.prompts import models, yaml_text

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "tenantry_client"


def test_the_versions_are_one() -> None:
    assert version.VERSION == VERSION


def test_the_licences_are_one() -> None:
    assert (PACKAGE / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_names_sizes_and_counts_are_the_apps() -> None:
    assert models.NAME_PATTERN == prompts.NAME_PATTERN
    assert models.LABEL_PATTERN == prompts.LABEL_PATTERN
    assert models.MAX_CONTENT_BYTES == prompts.MAX_CONTENT_BYTES
    assert models.MOST_AT_ONCE <= MAX_BATCH
    assert token_models.MOST_TOKENS == contracts.MOST_TOKENS


def test_a_file_has_the_fields_that_a_deployment_takes() -> None:
    assert set(models.PromptFile.model_fields) == set(NamedDraft.model_fields) - {"if_match"}


def test_a_file_is_read_as_deep_as_a_deployment_takes_a_config() -> None:
    around = 1  # the mapping of the file's fields; config itself is among its own levels
    assert prompts.MAX_CONFIG_DEPTH + around <= yaml_text.MAX_LEVELS


def test_the_wheel_needs_what_the_app_needs_and_little_of_it() -> None:
    app = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    client = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    names = {requirement.split(">")[0] for requirement in client["dependencies"]}

    assert names == {"aiohttp", "pydantic", "pyyaml", "tenacity"}
    assert names <= {requirement.split(">")[0] for requirement in app["dependencies"]}
    assert client["license"] == app["license"]


def test_the_code_is_python_3_12s() -> None:
    for file in PACKAGE.rglob("*.py"):
        ast.parse(file.read_text(), feature_version=(3, 12))
