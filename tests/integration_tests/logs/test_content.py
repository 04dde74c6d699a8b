"""Contents of model calls on the platform: none unless it is switched on, and then by the request."""

from __future__ import annotations

import gzip
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from azure.storage.blob import BlobServiceClient

from tests.integration_tests.local_host.parts import blob_connection
from tests.integration_tests.platform import wait_for

if TYPE_CHECKING:
    from tests.integration_tests.platform import Caller, Platform

pytestmark = pytest.mark.timeout(180)


def say(caller: Caller, word: str) -> str:
    """Ask a bot, and return the request's id."""
    request_id = f"r-{uuid.uuid4().hex}"
    caller.must("POST", "/api/v1/bots/b/chat", {"message": word}, **{"x-request-id": request_id})
    return request_id


def blobs_of(platform: Platform, tenant: str) -> dict[str, bytes]:
    """Return the tenant's blobs of all containers, by container and name."""
    port = int(platform.addresses["blob"].rpartition(":")[2].partition("/")[0])
    found: dict[str, bytes] = {}
    with BlobServiceClient.from_connection_string(blob_connection(port)) as client:
        for container in client.list_containers():
            opened = client.get_container_client(container)
            for blob in opened.list_blobs(name_starts_with=f"{tenant}/"):
                content = opened.download_blob(blob.name).readall()
                found[f"{container.name}/{blob.name}"] = _plain(content)
    return found


def _plain(content: bytes) -> bytes:
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def test_contents_are_kept_where_the_tenant_has_it_so_and_only_in_their_container(platform: Platform) -> None:
    tenant = platform.new_tenant()
    boss, user = platform.caller(tenant), platform.caller(tenant, "user")
    stranger = platform.caller(platform.new_tenant())
    boss.must("PUT", "/api/v1/bots/b", {"system_prompt": "Be brief."})
    words = [f"canary{uuid.uuid4().hex}" for _ in range(2)]
    unkept = say(boss, words[0])
    boss.must("PUT", "/api/v1/settings/logs.keep_content", {"value": True})

    def ask_until_it_is_kept() -> str | None:
        asked = say(boss, words[1])
        return asked if show(boss, asked) is not None else None

    def show(caller: Caller, request_id: str) -> dict[str, Any] | None:
        answer = caller.send("GET", f"/api/v1/calls/{request_id}/content")
        return answer.json() if answer.is_success else None

    kept = wait_for(
        ask_until_it_is_kept, bool
    )  # a setting is in force in a while, a content kept in a moment
    assert kept is not None
    content = show(boss, kept)
    assert content is not None
    [call] = content["items"]
    assert [message["content"] for message in call["messages"]] == ["Be brief.", words[1]]
    assert call["answers"][0]["role"] == "assistant"
    assert show(boss, unkept) is None
    assert show(stranger, kept) is None
    assert user.send("GET", f"/api/v1/calls/{kept}/content").status_code == 403
    audit = boss.must("GET", "/api/v1/audit?action=content.read")["items"]
    assert {entry["subject"] for entry in audit} >= {kept}

    boss.must("GET", f"/api/v1/calls/{kept}/content")
    wait_for(lambda: boss.must("GET", f"/api/v1/logs?request_id={kept}")["items"], bool, 90)
    blobs = blobs_of(platform, tenant)
    places = {name.partition("/")[0] for name, text in blobs.items() if words[1].encode() in text}
    assert places == {"content"}
    assert not any(words[0].encode() in text for text in blobs.values())
