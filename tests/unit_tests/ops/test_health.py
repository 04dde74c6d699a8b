"""Health names each dependency and its state; unknown paths answer in the documented shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from functions.ops.errors import NotReadyError
from functions.ops.models import DependencyState
from functions.ops.service import HealthService
from functions.ops.trigger import blueprint
from shared.caching.region import RegionCounts
from shared.errors import APIError, ConfigurationError, DependencyUnavailableError
from shared.runtime import Runtime
from tests.support.fakes import Call, FakeClock, RouteClient

if TYPE_CHECKING:
    from shared.settings import Settings


@dataclass
class FakeProbe:
    """A dependency in the state that the test wants."""

    name: str
    error: APIError | None = None
    breaker: str = "closed"
    throttled_parts: int = 0

    async def check(self) -> None:
        if self.error is not None:
            raise self.error


def unconfigured() -> Settings:
    raise ConfigurationError(["COSMOS_ENDPOINT"])


@pytest.fixture
def client() -> RouteClient:
    runtime = Runtime(unconfigured, FakeClock())
    blueprint(runtime)
    return RouteClient(runtime)


async def test_ready_lists_every_dependency_that_is_up() -> None:
    ready = await HealthService([FakeProbe("Cosmos DB"), FakeProbe("Model")], {}).ready()

    assert [(d.name, d.state) for d in ready.dependencies] == [
        ("Cosmos DB", DependencyState.UP),
        ("Model", DependencyState.UP),
    ]


async def test_ready_tells_what_the_caches_did() -> None:
    counts = RegionCounts(hits=3, last_good=1, oldest_served_seconds=61.23456)

    (told,) = (await HealthService([], {"prompts": counts}).ready()).caches

    assert (told.region, told.hits, told.last_good, told.oldest_served_seconds) == ("prompts", 3, 1, 61.235)


async def test_one_that_is_down_is_named_beside_the_others() -> None:
    probes = [
        FakeProbe("Cosmos DB"),
        FakeProbe("Model", DependencyUnavailableError("Model"), "open", 2),
        FakeProbe("Service Bus", ConfigurationError(["SERVICEBUS"])),
    ]

    with pytest.raises(NotReadyError, match="Not ready: Model, Service Bus") as caught:
        await HealthService(probes, {}).ready()

    states = caught.value.detail["dependencies"]
    assert states == [
        {"name": "Cosmos DB", "state": "up", "breaker": "closed", "throttled_parts": 0, "reason": None},
        {
            "name": "Model",
            "state": "down",
            "breaker": "open",
            "throttled_parts": 2,
            "reason": "Model is not available",
        },
        {
            "name": "Service Bus",
            "state": "not_configured",
            "breaker": "closed",
            "throttled_parts": 0,
            "reason": "Missing or invalid settings: SERVICEBUS",
        },
    ]


async def test_without_settings_the_app_is_live_and_says_by_name_what_it_lacks(client: RouteClient) -> None:
    live = await client.call("health_live")
    ready = await client.call("health_ready")

    assert live.status == 200
    assert (ready.status, ready.headers["retry-after"]) == (503, "1")
    assert "COSMOS_ENDPOINT" in ready.body.decode()


async def test_an_unknown_path_is_a_404_in_the_documented_shape(client: RouteClient) -> None:
    answer = await client.call("unknown_route", Call({"rest": "v1/nothing"}))

    assert (answer.status, answer.json()["error"]) == (404, "RouteNotFoundError")


async def test_the_openapi_document_shows_the_documented_routes_only(client: RouteClient) -> None:
    document = (await client.call("openapi")).json()

    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) == {
        "/api/docs",
        "/api/health/live",
        "/api/health/ready",
        "/api/openapi.json",
    }
