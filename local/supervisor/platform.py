"""The running local platform: parts first, then the app's host, and all of them in reverse at the end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.part import bind
from local.supervisor.addresses import app_settings, ready_line
from local.supervisor.child import Child, PartDiedError, PartSilentError
from local.supervisor.options import HOST, PORTS, ROOT, Options
from local.supervisor.own_settings import OwnSettings
from local.supervisor.parts import Part, Platform, chosen, instances
from local.supervisor.probe import until_answers

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from local.supervisor.probe import Probe


@dataclass(frozen=True, slots=True)
class Patience:
    """Waiting times of the supervisor, in seconds."""

    start: float = 60.0
    restart_pause: float = 0.5
    failed_restarts: int = 5
    """So many starts of an instance in a row may fail before the platform gives up."""
    quick_death: float = 1.0
    """An instance that dies so soon after it answered has failed to start as well."""


def check_ports(options: Options) -> None:
    """Look whether the chosen ports are free before anything is started.

    Raises:
        PortError: Some are held by others; the message names each with the option that chooses another.
    """
    taken = []
    for part, (option, _) in PORTS.items():
        if part in options.only:
            try:
                bind(options.ports[part]).close()
            except OSError as error:
                taken.append(f"{part}: {error} ({option})")
    if taken:
        raise PortError(taken)


class PortError(Exception):
    """Ports that cannot be taken; one line for each."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


class Supervisor:
    """Runs one platform until it is told to stop or a part dies."""

    def __init__(
        self,
        options: Options,
        platform: Platform,
        *,
        lock: int,
        patience: Patience | None = None,
        probe: Probe = until_answers,
    ) -> None:
        self._options = options
        self._own = OwnSettings.read(options.app_root, os.environ)
        self._platform = platform
        self._lock = lock
        self._patience = patience or Patience()
        self._probe = probe
        self._running: dict[str, tuple[Part, Child]] = {}
        self._listener: socket.socket | None = None
        self._watching: set[asyncio.Future[object]] = set()
        self._failed: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def run(self, told: asyncio.Event, say: Callable[[str], None] = print) -> None:
        """Start everything, say the ready line and stay until `told`; in any case stop what was started.

        Raises:
            PartDiedError: A part ended by itself.
            PartSilentError: A part did not answer in time.
        """
        stopping: asyncio.Future[object] = asyncio.ensure_future(told.wait())
        starting: asyncio.Future[object] = asyncio.ensure_future(self._start(say))
        try:
            await asyncio.wait({starting, stopping, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done() and not self._failed.done():
                starting.result()
                await asyncio.wait({stopping, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done():
                self._failed.result()
        finally:
            stopping.cancel()
            await _cancelled(starting, self._failed, *self._watching)
            await self._stop()

    def kill(self) -> None:
        """End every part at once."""
        for _, child in self._running.values():
            child.kill()

    async def _start(self, say: Callable[[str], None]) -> None:
        ports = await self._start_below()
        if HOST in self._options.only:
            ports[HOST] = await self._start_host(ports)
        addresses = ready_line(ports)
        if HOST in ports and self._own.model_endpoint is not None:
            addresses["model"] = self._own.model_endpoint
        say("ready " + json.dumps(addresses))

    async def _start_below(self) -> dict[str, int]:
        parts = chosen(self._platform, self._options)
        children = [await self._spawn(part, self._options.ports[name]) for name, part in parts.items()]
        for child in children:
            self._watch(self._fail_when_it_ends(child))
        listening = await asyncio.gather(*(child.listening(self._patience.start) for child in children))
        return dict(zip(parts, listening, strict=True))

    async def _start_host(self, below: Mapping[str, int]) -> int:
        settings, lines = self._own.complete(app_settings(below, self._options.data_dir))
        for line in lines:
            print(f"local: {line}", file=sys.stderr, flush=True)
        env = os.environ | settings
        self._listener = bind(self._options.ports[HOST])
        port: int = self._listener.getsockname()[1]
        first, *others = instances(self._platform.host, self._options.instances, self._listener.fileno())
        # The first one by itself: what keeps the app from starting is said once.
        started = [await self._spawn(first, port, env)]
        await started[0].listening(self._patience.start)
        started += [await self._spawn(part, port, env) for part in others]
        await asyncio.gather(*(other.listening(self._patience.start) for other in started[1:]))
        for part, instance in zip((first, *others), started, strict=True):
            self._watch(self._keep(part, instance, port, env))
        await self._probe(f"http://127.0.0.1:{port}/admin/host/status", self._patience.start)
        return port

    async def _keep(self, part: Part, child: Child, port: int, env: Mapping[str, str]) -> None:
        """Start an instance again whenever it dies, as Azure replaces one."""
        failures = 0
        time = asyncio.get_running_loop().time
        while True:
            began = time()
            death = await child.ended()
            failures = failures + 1 if time() - began < self._patience.quick_death else 0
            if failures > self._patience.failed_restarts:
                self._fail(death)
                return
            print(f"local: {death}, starting it again", file=sys.stderr, flush=True)
            await asyncio.sleep(self._patience.restart_pause * failures)
            child = await self._spawn(part, port, env)
            try:
                await child.listening(self._patience.start)
            except PartDiedError:
                continue  # counted above: it ended at once
            except PartSilentError as error:
                print(f"local: {error}", file=sys.stderr, flush=True)
                await child.stop(part.grace_seconds)

    async def _fail_when_it_ends(self, child: Child) -> None:
        self._fail(await child.ended())

    def _fail(self, death: PartDiedError) -> None:
        if not self._failed.done():
            self._failed.set_exception(death)

    def _watch(self, watch: asyncio._CoroutineLike[None]) -> None:
        self._watching.add(asyncio.ensure_future(watch))

    async def _spawn(self, part: Part, port: int, env: Mapping[str, str] | None = None) -> Child:
        line = part.line(self._options, port)
        keep = [self._lock] if self._listener is None else [self._lock, self._listener.fileno()]
        child = await Child.start(
            part.name, line, cwd=ROOT, env=os.environ if env is None else env, keep=keep
        )
        self._running[part.name] = (part, child)
        return child

    async def _stop(self) -> None:
        """Stop the host's instances together, then what is below them, last started first."""
        below = {part.name for part in self._platform.below}
        hosts = [pair for pair in self._running.values() if pair[0].name not in below]
        rest = [pair for pair in self._running.values() if pair[0].name in below]
        await asyncio.gather(*(child.stop(part.grace_seconds) for part, child in hosts))
        if self._listener is not None:
            self._listener.close()
        for part, child in reversed(rest):
            await child.stop(part.grace_seconds)


async def _cancelled(*tasks: asyncio.Future[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
