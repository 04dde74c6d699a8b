"""Each client does what its users do, with base URL and key alone; the versions in use are printed."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.compat.conftest import FOLDER, install

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.compat.conftest import Place

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

CURRENT = {
    "openai_sync": ("openai",),
    "openai_async": ("openai",),
    "openai_responses": ("openai",),
    "langchain": ("langchain-openai",),
    "pydantic_ai_client": ("pydantic-ai-slim",),
    "litellm_client": ("litellm",),
    "agents_client": ("openai-agents",),
}
OLDER = {
    "instructor_client": ("instructor", "openai"),
    "llama_index_client": ("llama-index-llms-openai-like", "llama-index-embeddings-openai-like"),
}
"""Those that keep to an older release of the official client, in an environment of their own."""

PYTHON_CLIENTS = CURRENT | OLDER
NODE_CLIENTS = {"openai": ("openai",), "ai": ("ai", "@ai-sdk/openai", "@ai-sdk/openai-compatible")}


def run_checks(command: Sequence[str | Path], folder: Path, place: Place) -> None:
    done = subprocess.run(  # noqa: S603  # our own scripts
        command,
        cwd=folder,
        env=place.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout.strip(), done.stderr
    told = json.loads(done.stdout.strip().splitlines()[-1])
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    print(f"\n{versions}: {len(told['passed'])} passed, {len(told['failed'])} failed")
    assert told["passed"]
    assert not told["failed"], "\n".join(f"{name}: {why}" for name, why in told["failed"].items())
    assert done.returncode == 0, done.stderr


def test_every_client_that_is_there_is_tried() -> None:
    of_python = {path.stem for path in (FOLDER / "clients").glob("*.py")} - {"run", "stand_in"}
    of_node = {path.stem for path in (FOLDER / "node").glob("*.mjs")} - {"run"}

    assert of_python == set(PYTHON_CLIENTS)
    assert of_node == set(NODE_CLIENTS)


@pytest.mark.parametrize("client", PYTHON_CLIENTS)
def test_a_client_for_python_works_with_base_url_and_key_alone(client: str, place: Place) -> None:
    python = install("older" if client in OLDER else "current")
    run_checks([python, "run.py", client, *PYTHON_CLIENTS[client]], FOLDER / "clients", place)


@pytest.mark.parametrize("client", NODE_CLIENTS)
def test_a_client_for_node_works_with_base_url_and_key_alone(client: str, node: str, place: Place) -> None:
    run_checks([node, "run.mjs", client, *NODE_CLIENTS[client]], FOLDER / "node", place)
