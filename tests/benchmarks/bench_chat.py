"""What a bot's turn costs: CPU of the app's process, plain and streamed, one at a time and 32 at once.

Run with `pytest tests/benchmarks/bench_chat.py -s`. The app runs as `make run` runs it: the real host and
worker runtime, store and model in processes of their own, whose time is not counted. Beside it the official
client asks the same model. Then a sampler tells where the time goes. Figures are printed, not asserted.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.integration_tests.platform import ROOT, Platform, running_platform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

APP = Path(__file__).parent / "chat_app"
INSTRUCTIONS = "You help the customers of Initech with their printers, briefly and politely. " * 4
MESSAGE = "My printer has been on fire since this morning. What should I do about it now?"
TURNS_OF_A_CONVERSATION = 8
TURNS = {1: 100, 32: 480}
GOAL_MS = 2.5
PLACES = {"COSMOS_ENDPOINT", "SERVICEBUS", "AZURE_OPENAI_ENDPOINT"}
"""Settings of the sample that the running platform has its own values of."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a turn.

    Attributes:
        cpu_ms: CPU time of the process for each turn.
        first_ms: The median time to the first words, or to the answer where it comes whole.
        rate: Turns in a second.
    """

    cpu_ms: float
    first_ms: float
    rate: float


@dataclass(frozen=True, slots=True)
class Client:
    """A tenant's client of the app."""

    port: int
    key: str

    def request(self, body: Mapping[str, object]) -> bytes:
        """Write the request for one turn."""
        content = json.dumps(body).encode()
        head = (
            f"POST /api/v1/bots/b/chat HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content

    async def converse(self, name: str, left: Iterator[int], *, stream: bool) -> list[float]:
        """Go on with conversations over one connection; return the seconds to the first words of each."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        firsts: list[float] = []
        for number in left:
            conversation = f"{name}-{len(firsts) // TURNS_OF_A_CONVERSATION}"
            body = {"message": f"{MESSAGE} ({number})", "conversation_id": conversation, "stream": stream}
            began = time.perf_counter()
            writer.write(self.request(body))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not head.startswith(b"http/1.1 200"):
                raise RuntimeError(head.decode())
            if stream:
                await reader.readuntil(b"event: token")
                firsts.append(time.perf_counter() - began)
                end = await reader.readuntil(b"\r\n0\r\n\r\n")
                if b"event: done" not in end:
                    raise RuntimeError(end.decode())
            else:
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                firsts.append(time.perf_counter() - began)
        writer.close()
        return firsts


@dataclass(frozen=True, slots=True)
class Host:
    """The host's process with the app."""

    platform: Platform
    pid: int

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far by all of its threads."""
        threads = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9

    def sample(self, *, is_on: bool) -> dict[str, int]:
        """Switch the sampler on or off; return what it has counted."""
        answer = self.platform.client.post(f"/api/bench/sampler/{'on' if is_on else 'off'}")
        samples: dict[str, int] = answer.raise_for_status().json()["samples"]
        return samples

    def new_client(self) -> Client:
        """Make a tenant with a bot, and a client of it."""
        tenant = self.platform.new_tenant("premium")
        caller = self.platform.caller(tenant)
        limits = {"tokens_per_minute": 10**9, "requests_per_minute": 10**7, "concurrency": 10**5}
        self.platform.admin.must("PUT", f"/api/v1/tenants/{tenant}/limits", limits)
        caller.must("PUT", "/api/v1/bots/b", {"system_prompt": INSTRUCTIONS})
        port = int(self.platform.addresses["app"].rpartition(":")[2])
        return Client(port, caller.key)

    def measure(self, client: Client, together: int, *, stream: bool) -> Cost:
        """Measure some turns, so many of them at a time."""

        async def load(turns: int, name: str) -> list[float]:
            left = iter(range(turns))
            several = [client.converse(f"{name}{at}", left, stream=stream) for at in range(together)]
            return [first for firsts in await asyncio.gather(*several) for first in firsts]

        kind = f"{'s' if stream else 'p'}{together}"
        asyncio.run(load(2 * together + 20, f"warm-{kind}-"))
        cpu, began = self.cpu_seconds(), time.perf_counter()
        firsts = asyncio.run(load(TURNS[together], f"c-{kind}-{time.time_ns()}-"))
        seconds, cpu = time.perf_counter() - began, self.cpu_seconds() - cpu
        return Cost(1_000 * cpu / len(firsts), 1_000 * statistics.median(firsts), len(firsts) / seconds)


@contextmanager
def running_host() -> Iterator[Host]:
    """Run the platform with the app until the block ends."""
    far = "0 0 0 1 1 *"
    sample: dict[str, str] = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    settings = {name: sample[name] for name in sample if name not in PLACES} | {
        "LOG_SHIP_SCHEDULE": far,
        "OUTBOX_SWEEP_SCHEDULE": far,
        "WEBHOOK_SCHEDULE": far,
        "TENANT_PURGE_SCHEDULE": far,
        "REQUESTS_PER_MINUTE_PREMIUM": "10000000",
    }
    with tempfile.TemporaryDirectory() as folder:
        flags = ("--only", "host,cosmos,servicebus,llm", "--app-root", str(APP))
        with running_platform(Path(folder) / "data", *flags, settings=settings) as platform:
            answer: Any = platform.client.post("/api/bench/sampler/off").raise_for_status().json()
            yield Host(platform, int(answer["pid"]))


def ask_raw(url: str, together: int, *, stream: bool) -> Cost:
    """Measure the official client alone."""
    plan = {
        "url": url,
        "answers": TURNS[together],
        "together": together,
        "stream": stream,
        "instructions": INSTRUCTIONS,
        "message": MESSAGE,
    }
    command = [sys.executable, "-m", "tests.benchmarks.raw_model_client", json.dumps(plan)]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)  # noqa: S603  # ours
    return Cost(told["cpu_ms"], told["first_ms"], 0.0)


def test_a_turn_beside_the_raw_client() -> None:
    print(f"\n{'CPU ms of each turn':<28}{'app':>8}{'raw':>8}{'first ms':>10}{'raw':>8}{'turns/s':>9}")
    with running_host() as host:
        client = host.new_client()
        for stream in (False, True):
            for together in TURNS:
                cost = host.measure(client, together, stream=stream)
                raw = ask_raw(host.platform.addresses["llm"], together, stream=stream)
                what = f"{'streamed' if stream else 'plain'}, {together} at once"
                print(
                    f"{what:<28}{cost.cpu_ms:>8.2f}{raw.cpu_ms:>8.2f}{cost.first_ms:>10.1f}"
                    f"{raw.first_ms:>8.1f}{cost.rate:>9.0f}",
                    flush=True,
                )
        print(f"goal: at most {GOAL_MS} ms of a plain turn, 32 at once")
        for stream in (False, True):
            host.sample(is_on=True)
            cost = host.measure(client, 32, stream=stream)
            samples = host.sample(is_on=False)
            tell_parts(f"{'streamed' if stream else 'plain'}, 32 at once", cost, samples)


def tell_parts(what: str, cost: Cost, samples: Mapping[str, int]) -> None:
    """Print which part takes how much of a turn."""
    every = sum(samples.values())
    print(f"\n{what}: the parts of {cost.cpu_ms:.2f} ms")
    for part, count in sorted(samples.items(), key=lambda item: -item[1]):
        print(f"  {part:<26}{cost.cpu_ms * count / every:>8.2f} ms{count / every:>8.0%}")
