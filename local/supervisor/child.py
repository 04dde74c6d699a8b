"""A part as a child process: started, waited for, watched and stopped."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from local.part import EXIT_MISSING, EXIT_PORT_TAKEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_ANNOUNCEMENT = b"listening "
_LONGEST_LINE = 1 << 20


class PartDiedError(Exception):
    """A part ended that should be running."""

    def __init__(self, name: str, code: int) -> None:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        super().__init__(f"{name} {how}")
        self.code = code

    @property
    def explained(self) -> bool:
        """Whether the part has itself said why, in one line."""
        return self.code in {EXIT_PORT_TAKEN, EXIT_MISSING}


class PartSilentError(Exception):
    """A part runs but does not say that it answers."""


class Child:
    """One running part.

    Its stdin is a pipe from this process: when this process is killed, the pipe ends, and the part stops.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process
        self._port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def start(
        cls, name: str, line: list[str], *, cwd: Path, env: Mapping[str, str], keep: Sequence[int]
    ) -> Child:
        """Start it without waiting until it answers; `keep` are descriptors that it inherits."""
        with _interrupts_ignored():
            process = await asyncio.create_subprocess_exec(
                *line,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd=cwd,
                env=dict(env),
                pass_fds=keep,
                limit=_LONGEST_LINE,
            )
        return cls(name, process)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def listening(self, timeout_seconds: float) -> int:
        """Wait until it answers and give its port.

        Raises:
            PartDiedError: It ended instead.
            PartSilentError: It did neither in time.
        """
        ended = asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait(
                {self._port, ended}, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if self._port.done():
                return self._port.result()
            if ended.done():
                raise PartDiedError(self.name, ended.result())
            raise PartSilentError(f"{self.name} does not answer after {timeout_seconds:.0f} s")
        finally:
            ended.cancel()

    async def ended(self) -> PartDiedError:
        """Wait until it ends and say how."""
        return PartDiedError(self.name, await self._process.wait())

    async def stop(self, grace_seconds: float) -> None:
        """Let it finish what it does for so long, then kill it."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), grace_seconds)
            except TimeoutError:
                print(
                    f"local: {self.name} did not stop within {grace_seconds:.0f} s, killing it",
                    file=sys.stderr,
                )
                self.kill()
                await self._process.wait()
        await self._reading

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def _read(self) -> None:
        if self._process.stdout is None:
            raise TypeError("a child is started with a pipe as its stdout")
        async for line in self._process.stdout:
            if line.startswith(_ANNOUNCEMENT) and not self._port.done():
                self._port.set_result(int(json.loads(line.removeprefix(_ANNOUNCEMENT))["port"]))
            else:
                print(f"{self.name}: {line.decode(errors='replace').rstrip()}", file=sys.stderr, flush=True)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Have a child that is started in here ignore SIGINT: at a Ctrl-C this process stops it, in order."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
