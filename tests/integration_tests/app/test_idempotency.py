"""The same Idempotency-Key at once over two real instances: one effect, one answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.integration_tests.platform import running_platform
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.integration_tests.platform import Caller, Platform

pytestmark = sized(300)

AT_ONCE = 50
ROUNDS = 40 if SOAK else 2
BOT = "/api/v1/bots/b"


@dataclass(frozen=True)
class Tenant:
    """A tenant with a bot."""

    owner: Caller

    def post(self, path: str, body: object, key: str) -> httpx.Response:
        return self.owner.send("POST", path, body, **{"idempotency-key": key})

    def at_once(self, path: str, body: object, key: str) -> list[httpx.Response]:
        """Post in as many threads, each on a connection that the kernel gives to one of the instances."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda _: self.post(path, body, key), range(AT_ONCE)))


@pytest.fixture(scope="module")
def two_instances(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    data = tmp_path_factory.mktemp("two-instances") / "data"
    with running_platform(data, "--instances", "2", "--only", "host,cosmos,servicebus,llm") as running:
        yield running


@pytest.fixture
def tenant(two_instances: Platform) -> Tenant:
    owner = two_instances.caller(two_instances.new_tenant("premium"))
    owner.must("PUT", BOT, {"system_prompt": "Be brief."})
    return Tenant(owner)


def check(tenant: Tenant, path: str, body: object, key: str) -> None:
    answers = tenant.at_once(path, body, key)
    again = [tenant.post(path, body, key) for _ in range(4)]

    given = [answer for answer in answers if answer.status_code != 409]
    assert given
    assert all(
        answer.json()["error"] == "RequestInWorkError" for answer in answers if answer.status_code == 409
    )
    first = given[0]
    assert first.is_success, first.text
    for answer in (*given, *again):
        assert (answer.status_code, answer.content) == (first.status_code, first.content)
        assert answer.headers.get("location") == first.headers.get("location")
        assert answer.headers["content-type"] == first.headers["content-type"]


def test_fifty_turns_under_one_key_are_one_turn(tenant: Tenant) -> None:
    for turn in range(1, ROUNDS + 1):
        body = {"message": f"turn {turn}", "conversation_id": "c"}
        check(tenant, f"{BOT}/chat", body, f"turn-{turn}")

        assert tenant.owner.must("GET", f"{BOT}/conversations/c")["turns"] == turn


def test_fifty_jobs_under_one_key_are_one_job(tenant: Tenant) -> None:
    for job in range(1, ROUNDS + 1):
        check(tenant, "/api/v1/reasoning/jobs", {"text": f"job {job}"}, f"job-{job}")

        assert len(tenant.owner.must("GET", "/api/v1/reasoning/jobs?limit=100")["items"]) == job
