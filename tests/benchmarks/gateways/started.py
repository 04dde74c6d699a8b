"""Gateways that are started for a measurement, each on a core of its own, before the same stub of a model."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from tests.benchmarks.gateways.load import Connection, Gateway, RefusedRequestError
from tests.benchmarks.gateways.processes import (
    APP_CORE,
    Measured,
    free_port,
    running,
    wait_until_listening,
)
from tests.integration_tests.platform import ROOT, Platform, running_platform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

APP: Final = Path(__file__).parents[1] / "chat_app"
PEERS: Final = Path(__file__).parents[1] / "peers"
MASTER_KEY: Final = f"sk-{secrets.token_hex(32)}"
"""LiteLLM starts with no weaker one."""

UNLIMITED: Final = {
    "tokens_per_minute": 10**9,
    "requests_per_minute": 10**7,
    "tokens_per_day": 10**12,
    "tokens_per_month": 10**12,
    "concurrency": 10**5,
}
"""Limits that are checked and counted for each call, and never reached."""

_FAR = "0 0 0 1 1 *"
_OF_THE_HOST = (
    *("run_job", "give_up_job", "analyse_feedback", "give_up_feedback", "make_response", "give_up_response"),
    "drain_dead_letters",
)
"""Functions that nothing but the host's waiting begins."""

_PLACES = {"COSMOS_ENDPOINT", "SERVICEBUS", "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"}
_WITHOUT_NETWORK = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "NO_PROXY": "*",
}


@dataclass(frozen=True, slots=True)
class Started:
    """A gateway that answers.

    Attributes:
        gateway: The way to it.
        process: What is measured of it.
        start_seconds: From its start to its first answer.
    """

    gateway: Gateway
    process: Measured
    start_seconds: float


@contextmanager
def running_stub(folder: Path, *, delay_ms: float = 0, pace_ms: float = 2) -> Iterator[str]:
    """Run the stub of a model; yields its URL."""
    command = [sys.executable, "-m", "tests.benchmarks.gateways.stub", str(delay_ms), str(pace_ms)]
    with running(command, folder / "stub.log") as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"


def served(stub: str) -> tuple[int, int]:
    """Ask a stub for the requests and the tokens that it has served."""
    told = httpx.get(f"{stub}/served", trust_env=False).raise_for_status().json()
    return int(told["requests"]), int(told["tokens"])


@contextmanager
def running_floor(folder: Path, stub: str) -> Iterator[Started]:
    """Run what forwards and does nothing else."""
    port, began = free_port(), time.perf_counter()
    command = [sys.executable, "-m", "tests.benchmarks.gateways.floor", str(port), stub]
    with running(command, folder / "floor.log", core=APP_CORE) as process:
        wait_until_listening(port, process)
        gateway = Gateway(port, "/v1/chat/completions", ("none",))
        yield Started(gateway, Measured(process.pid), seconds_to_first_answer(gateway, began))


@dataclass(frozen=True, slots=True)
class LiteLLMBudget:
    """Limits of each key of LiteLLM, and the budget of its deployment.

    Attributes:
        tokens_per_minute: Of each key.
        requests_per_minute: Of each key.
        dollars: Of the deployment in a day; None for none.
        dollars_per_token: The price of each token.
    """

    tokens_per_minute: int = 10**9
    requests_per_minute: int = 10**7
    dollars: float | None = None
    dollars_per_token: float = 0.000001


@contextmanager
def running_litellm(
    folder: Path, python: Path, stub: str, *, keys: tuple[str, ...] = (), budget: LiteLLMBudget | None = None
) -> Iterator[Started]:
    """Run LiteLLM's proxy with one worker.

    Args:
        folder: For its configuration and its log.
        python: The Python of its environment.
        stub: The model's URL.
        keys: The keys that it knows, each with limits; without any it is bare, and asked with its master key.
        budget: The limits.
    """
    budget = budget or LiteLLMBudget()
    config = folder / "litellm.yaml"
    config.write_text(json.dumps(_configure_litellm(stub, budget, with_keys=bool(keys))))
    (folder / "litellm_keys.py").write_text((PEERS / "litellm_keys.py").read_text())
    limits = {
        "BENCH_KEYS": ",".join(keys),
        "BENCH_TOKENS_PER_MINUTE": str(budget.tokens_per_minute),
        "BENCH_REQUESTS_PER_MINUTE": str(budget.requests_per_minute),
    }
    port, began = free_port(), time.perf_counter()
    command = [str(python.parent / "litellm"), "--config", str(config), "--host", "127.0.0.1"]
    with running(
        [*command, "--port", str(port), "--num_workers", "1", "--telemetry", "False"],
        folder / "litellm.log",
        core=APP_CORE,
        environment=_WITHOUT_NETWORK | limits,
    ) as process:
        wait_until_listening(port, process)
        gateway = Gateway(port, "/v1/chat/completions", keys or (MASTER_KEY,))
        yield Started(gateway, Measured(process.pid), seconds_to_first_answer(gateway, began))


def _configure_litellm(stub: str, budget: LiteLLMBudget, *, with_keys: bool) -> dict[str, object]:
    price = budget.dollars_per_token
    parameters: dict[str, object] = {
        "model": "openai/gpt-4o",
        "api_base": f"{stub}/v1",
        "api_key": "upstream",
        "input_cost_per_token": price,
        "output_cost_per_token": price,
    }
    if budget.dollars is not None:
        parameters |= {"max_budget": budget.dollars, "budget_duration": "1d"}
    general = {"custom_auth": "litellm_keys.check_key"} if with_keys else {}
    return {
        "model_list": [{"model_name": "gpt-4o", "litellm_params": parameters}],
        "litellm_settings": {"num_retries": 0},
        "general_settings": {"master_key": MASTER_KEY} | general,
    }


@contextmanager
def running_app(
    folder: Path, stub: str, tenants: int, more: Mapping[str, str] | None = None
) -> Iterator[tuple[Started, Platform]]:
    """Run this app on the local platform, whose stores are on the core of the load.

    The first start makes the tenants; the second, of the app alone, is the one whose time is told.

    Args:
        folder: For its data and its logs.
        stub: The model's URL.
        tenants: How many there are, each with a key.
        more: Settings in addition.
    """
    folder.mkdir(exist_ok=True)
    settings = app_settings(stub) | dict(more or {})
    data = folder / "data"
    with running_platform(data, "--only", "host,cosmos,servicebus", settings=settings) as platform:
        keys = tuple(new_key(platform) for _ in range(tenants))
        only_app = {
            "COSMOS_ENDPOINT": platform.addresses["cosmos"],
            "SERVICEBUS": _broker(platform),
        }
        flags = ("--only", "host", "--app-root", str(APP))
        began = time.perf_counter()
        with running_platform(folder / "app", *flags, settings=settings | only_app) as app:
            answer = app.client.post("/api/bench/sampler/off").raise_for_status().json()
            process = Measured(int(answer["pid"]))
            process.pin(APP_CORE)
            port = int(app.addresses["app"].rpartition(":")[2])
            gateway = Gateway(port, "/api/v1/chat/completions", keys)
            yield Started(gateway, process, seconds_to_first_answer(gateway, began)), app


def app_settings(stub: str) -> dict[str, str]:
    """Return the settings of the app: no timer runs, no queue is waited on, no tenant asks too often.

    On Azure another process waits for messages, the host's; on one machine that is the app's own, and the
    polling would be counted as a cost of requests.
    """
    sample: dict[str, str] = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    return {name: sample[name] for name in sample if name not in _PLACES} | {
        "AZURE_OPENAI_ENDPOINT": stub,
        "AZURE_OPENAI_API_KEY": "upstream",
        "LOG_SHIP_SCHEDULE": _FAR,
        "OUTBOX_SWEEP_SCHEDULE": _FAR,
        "WEBHOOK_SCHEDULE": _FAR,
        "TENANT_PURGE_SCHEDULE": _FAR,
        "REQUESTS_PER_MINUTE_PREMIUM": "10000000",
        **{f"AzureWebJobs.{name}.Disabled": "true" for name in _OF_THE_HOST},
    }


def new_key(platform: Platform, limits: Mapping[str, int] | None = None) -> str:
    """Make a tenant with limits, and return a key of a user's there."""
    tenant = platform.new_tenant("premium")
    platform.admin.must("PUT", f"/api/v1/tenants/{tenant}/limits", dict(limits or UNLIMITED))
    return platform.caller(tenant, "user").key


def seconds_to_first_answer(gateway: Gateway, began: float, patience: float = 120) -> float:
    """Ask until there is a whole answer; return the seconds since a moment."""

    async def ask() -> bool:
        try:
            connection = await Connection.open(gateway.port)
            await connection.ask(gateway.request(0, stream=False), stream=False)
        except (RefusedRequestError, OSError, asyncio.IncompleteReadError):
            return False
        await connection.close()
        return True

    while not asyncio.run(ask()):
        if time.perf_counter() - began > patience:
            raise RuntimeError(f"no answer within {patience} s")
        time.sleep(0.02)
    return time.perf_counter() - began


def _broker(platform: Platform) -> str:
    address = platform.addresses["servicebus"]
    return (
        f"Endpoint={address};SharedAccessKeyName=RootManageSharedAccessKey;"
        "SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;"
    )
