"""Entries of the catalogue through the app and the local endpoint: each interface, and its credential."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.integration_tests.conftest import MODEL_KEYS
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration_tests.platform import Caller, Platform

pytestmark = pytest.mark.timeout(120)

(KEY_SETTING,) = MODEL_KEYS
INTERFACES: dict[str, dict[str, str]] = {
    "azure": {},
    "azure-api-version": {"api_version": "2024-10-21"},
    "openai-compatible": {"path": "/v1"},
}


@dataclass
class Catalogue:
    """The administrator's entries, a tenant that uses them, and the endpoint behind them."""

    admin: Caller
    tenant: Caller
    model: httpx.Client
    name: str

    def put(self, provider: str, **said: object) -> httpx.Response:
        """Store the entry, for a deployment of the endpoint that has a name of its own."""
        more = dict(INTERFACES[provider])
        base_url = str(self.model.base_url).rstrip("/") + more.pop("path", "")
        entry = {"provider": provider, "base_url": base_url, "key_setting": KEY_SETTING, "model": "gpt-4o"}
        deployed = {"deployment": self.name}
        return self.admin.send("PUT", f"/api/v1/model-catalogue/{self.name}", entry | deployed | more | said)

    def save_bot(self) -> None:
        self.tenant.must("PUT", "/api/v1/bots/b", {"system_prompt": "Be brief.", "llm": {"model": self.name}})

    def chat(self, **body: object) -> httpx.Response:
        return self.tenant.send("POST", "/api/v1/bots/b/chat", {"message": "hi"} | body)

    def asked(self) -> int:
        """Count the requests that reached the endpoint with a model, answered or not."""
        served: dict[str, Any] = self.model.get("/_local/served").json()
        refused: dict[str, int] = served["refused"]
        return int(served["requests"]) + sum(refused.values())


@pytest.fixture
def catalogue(platform: Platform) -> Iterator[Catalogue]:
    tenant = platform.caller(platform.new_tenant())
    name = f"ours-{uuid.uuid4().hex[:12]}"
    with httpx.Client(base_url=platform.addresses["llm"], trust_env=False, verify=NO_TLS) as model:
        for what, body in (
            ("deployments", {"name": name, "model": "gpt-4o"}),
            ("keys", {"accepted": list(MODEL_KEYS.values())}),
        ):
            model.post(f"/_local/{what}", json=body).raise_for_status()
        yield Catalogue(platform.admin, tenant, model, name)
        for what in ("deployments", "keys"):
            model.delete(f"/_local/{what}").raise_for_status()
    platform.admin.send("DELETE", f"/api/v1/model-catalogue/{name}")


@pytest.mark.parametrize("provider", INTERFACES)
def test_each_interface_answers_whole_and_streamed_by_the_key_that_its_entry_names(
    catalogue: Catalogue, provider: str
) -> None:
    assert catalogue.put(provider).is_success
    catalogue.save_bot()

    whole = catalogue.chat()
    streamed = catalogue.chat(stream=True)

    assert whole.status_code == 200, whole.text
    assert whole.json()["response"].startswith("[stand-in for gpt-4o]")
    *_, done = (line for line in streamed.text.splitlines() if line.startswith("data: "))
    assert json.loads(done.removeprefix("data: "))["response"] == whole.json()["response"]
    usage = catalogue.tenant.must("GET", "/api/v1/usage?group_by=model")["items"]
    assert [(row["model"], row["requests"]) for row in usage] == [(catalogue.name, 2)]
    assert usage[0]["total_tokens"] == 2 * whole.json()["usage"]["total_tokens"]


def test_a_key_that_is_not_set_is_named_and_the_endpoint_is_not_asked(catalogue: Catalogue) -> None:
    assert catalogue.put("azure", key_setting="MODEL_KEY_NOBODY_HAS_SET").is_success
    catalogue.save_bot()
    before = catalogue.asked()

    refused = catalogue.chat()

    assert (refused.status_code, refused.json()["error"]) == (503, "ConfigurationError")
    assert refused.json()["detail"] == {"settings": ["MODEL_KEY_NOBODY_HAS_SET"]}
    assert catalogue.asked() == before


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"key_setting": "ADMIN_API_KEY"}, "body.key_setting"),
        ({"key_setting": "AZURE_OPENAI_API_KEY"}, "body.key_setting"),
        ({"key_setting": None}, "body"),
        ({"base_url": "http://models.example/v1"}, "body.base_url"),
    ],
)
def test_no_entry_sends_another_setting_or_the_identitys_token_or_anything_in_the_clear(
    catalogue: Catalogue, said: dict[str, object], field: str
) -> None:
    refused = catalogue.put("azure", **said)

    assert refused.status_code == 422, refused.text
    assert list(refused.json()["detail"]["fields"]) == [field]
    listed = catalogue.tenant.must("GET", f"/api/v1/model-catalogue?prefix={catalogue.name}")
    assert listed["items"] == []


@pytest.mark.parametrize("written", ["{}/model:8b", "{}%2Fmodel%3A8b"])
def test_a_name_with_a_slash_can_be_stored_and_removed_over_the_host(
    catalogue: Catalogue, written: str
) -> None:
    path = f"/api/v1/model-catalogue/{written.format(catalogue.name)}"

    stored = catalogue.admin.must("PUT", path, {"model": "gpt-4o"})

    assert stored["name"] == f"{catalogue.name}/model:8b"
    assert catalogue.admin.send("DELETE", path).status_code == 204
