"""What is stored for a tenant is purged and exported from the day on which its container is defined."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from shared.settings import Settings
from shared.tenancy.credential_cache import MAX_TTL_SECONDS
from shared.tenancy.owned_data import BLOB_CONTAINERS, CONTAINERS, read_containers
from tests.support.fakes import host_limit_seconds

ROOT = Path(__file__).parents[3]


def test_the_levels_below_the_tenants_are_those_of_the_definition() -> None:
    assert CONTAINERS["prompts"] == ()
    assert CONTAINERS["jobs"] == ("id",)
    assert CONTAINERS["conversations"] == ("bot_id", "conversation_id")
    assert BLOB_CONTAINERS == ("logs", "jobs", "content")


@pytest.mark.parametrize("paths", [["/id"], ["/id", "/tenant_id"], ["/tenant_ids"]])
def test_a_container_whose_partitions_are_no_tenants_is_refused_by_name(paths: list[str]) -> None:
    definition = {"containers": [{"id": "notes", "partitionKey": {"paths": paths}}]}

    with pytest.raises(ValueError, match="'notes' does not begin with /tenant_id"):
        read_containers(json.dumps(definition))


@pytest.mark.parametrize(
    ("path", "is_deployed"),
    [
        ("infra/cosmos.json", True),
        ("infra/storage.json", True),
        ("shared/tenancy/owned_data.py", True),
        ("shared/llm/ranks/fb374d419588a4632f3f557e76b4b70aebbca790", True),
        ("tenantry_client/__init__.py", True),
        ("infra/main.bicep", False),
        ("local/host/host.py", False),
        ("tests/conftest.py", False),
        ("compat/prompt_manager.py", False),
    ],
)
def test_what_the_app_reads_is_deployed_and_nothing_else(path: str, *, is_deployed: bool) -> None:
    command = [
        "git",
        "-c",
        f"core.excludesFile={ROOT / '.funcignore'}",
        "check-ignore",
        "-v",
        "--no-index",
        path,
    ]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  # git, with fixed arguments

    last = found.stdout.split("\t", maxsplit=1)[0]
    is_left_out = ".funcignore:" in last and not last.rpartition(":")[2].startswith("!")
    assert is_left_out is not is_deployed


def test_a_purge_waits_for_whatever_may_still_write() -> None:
    settle_seconds = Settings.model_fields["purge_settle_seconds"].default
    assert settle_seconds >= host_limit_seconds() + MAX_TTL_SECONDS + 30
