"""`python -m local`: the platform and the app in the foreground."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

from local.part import EXIT_PORT_TAKEN, parent_gone
from local.supervisor.child import PartDiedError, PartSilentError
from local.supervisor.lock import DataFolderError, locked
from local.supervisor.options import parse
from local.supervisor.parts import PLATFORM
from local.supervisor.platform import PortError, Supervisor, check_ports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.supervisor.options import Options
    from local.supervisor.parts import Platform


def main(arguments: Sequence[str] | None = None, platform: Platform = PLATFORM) -> int:
    """Run until stopped and give the exit code."""
    options = parse(arguments)
    try:
        asyncio.run(_serve(options, platform))
    except PortError as error:
        for line in error.lines:
            print(f"local: {line}", file=sys.stderr)
        return EXIT_PORT_TAKEN
    except PartDiedError as error:
        if not error.explained:
            print(f"local: {error}, so everything else was stopped", file=sys.stderr)
        return error.code if error.explained else 1
    except (DataFolderError, PartSilentError) as error:
        print(f"local: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("local: stopped before anything was started", file=sys.stderr)
    return 0


async def _serve(options: Options, platform: Platform) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with locked(options.data_dir) as lock:
        check_ports(options)
        supervisor = Supervisor(options, platform, lock=lock)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _stop_or_kill, told, supervisor)
        gone = asyncio.ensure_future(parent_gone()) if options.until_stdin_ends else loop.create_future()
        gone.add_done_callback(lambda _: told.set())
        try:
            await supervisor.run(told, _say)
        finally:
            gone.cancel()


def _stop_or_kill(told: asyncio.Event, supervisor: Supervisor) -> None:
    if told.is_set():
        print("local: told twice, killing what still runs", file=sys.stderr)
        supervisor.kill()
    told.set()


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
