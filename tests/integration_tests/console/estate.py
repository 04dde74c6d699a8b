"""A tenant that has something of everything, made through the API, so that each page has what to show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.integration_tests.platform import Caller, own_everything, wait_for

if TYPE_CHECKING:
    from tests.integration_tests.platform import Platform

USER = "mara"


@dataclass(frozen=True)
class Estate:
    """A tenant with its keys by role, and another one that has nothing to do with it.

    Attributes:
        names: What its things are called, by path parameter.
    """

    platform: Platform
    tenant_id: str
    other_id: str
    keys: dict[str, str]
    names: dict[str, str]

    @property
    def origin(self) -> str:
        """The app's address, as a browser writes it."""
        return self.platform.addresses["app"]

    @property
    def owner(self) -> Caller:
        """Its administrator."""
        return Caller(self.platform.client, self.keys["tenant_admin"])

    def get(self, path: str) -> Any:  # noqa: ANN401  # JSON
        """Return what a resource answers to its administrator."""
        return self.owner.must("GET", f"/api/v1{path}")


def new_estate(platform: Platform) -> Estate:
    """Make a tenant with something of everything, its model calls findable, and another one with a prompt."""
    tenant_id, other_id = platform.new_tenant("premium"), platform.new_tenant()
    owner = platform.caller(tenant_id)
    names = own_everything(owner, tenant_id)
    names |= {"dead_letter_id": _bury(platform, owner, tenant_id)}
    talk = {"message": "What is new?", "conversation_id": "of-mara", "user_id": USER}
    owner.must("POST", f"/api/v1/bots/{names['bot_id']}/chat", talk)
    platform.caller(other_id).must("PUT", "/api/v1/prompts/of-the-other", {"template": "Not yours"})
    key = {"name": "of Mara", "role": "user", "user_id": USER}
    user = platform.admin.must("POST", f"/api/v1/tenants/{tenant_id}/keys", key)
    mara = Caller(platform.client, str(user["key"]))
    mara.must("POST", "/api/v1/reasoning/jobs", {"id": "of-mara", "model": "gpt-4o", "text": "Is it so?"})
    mara.must("POST", "/api/v1/feedback", {"id": "of-mara", "language": "en", "text": "It is quick."})
    keys = {"admin": platform.admin.key, "tenant_admin": owner.key, "user": mara.key}
    platform.client.post("/admin/functions/ship_logs", json={"input": ""})
    wait_for(lambda: owner.must("GET", "/api/v1/calls")["items"], bool)
    return Estate(platform, tenant_id, other_id, keys, names)


def _bury(platform: Platform, owner: Caller, tenant_id: str) -> str:
    """Give a queue's function a message that it can never handle; return the dead letter's id."""
    message = {"tenant_id": tenant_id, "id": "letter", "language": "no language", "text": "Hello"}
    platform.client.post("/admin/functions/analyse_feedback", json={"input": message})
    [letter] = wait_for(lambda: owner.must("GET", "/api/v1/dead-letters")["items"], bool)
    return str(letter["id"])
