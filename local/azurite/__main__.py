"""`python -m local.azurite --port N --data-dir DIR`: Azurite as a part of the local platform."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from local.azurite.child import Azurite, AzuriteStoppedError, command
from local.azurite.containers import DefinitionError, create_containers, read_definition
from local.azurite.node import NotInstalledError, find_launcher, find_node
from local.part import EXIT_MISSING, EXIT_PORT_TAKEN, PortTakenError, announce, bind, until_stopped


def main() -> int:
    """Run the part and give its exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.azurite", description=__doc__)
    parser.add_argument("--port", type=int, default=10000, help="0 takes a free one")
    parser.add_argument("--data-dir", type=Path, default=Path(".local/azurite"))
    parser.add_argument("--definition", type=Path, help="the containers to create, as infra/storage.json")
    args = parser.parse_args()
    try:
        containers = read_definition(args.definition) if args.definition else []
        line = command(find_node(), find_launcher(), args.port, args.data_dir)
        args.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        bind(args.port).close()  # tells a taken port from everything else that Node may not like
        asyncio.run(_serve(line, containers))
    except NotInstalledError as error:
        print(f"azurite: {error}", file=sys.stderr)
        return EXIT_MISSING
    except PortTakenError as error:
        print(f"azurite: {error}", file=sys.stderr)
        return EXIT_PORT_TAKEN
    except (AzuriteStoppedError, DefinitionError) as error:
        print(f"azurite: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(line: list[str], containers: list[str]) -> None:
    azurite = await Azurite.start(line)
    stopped = asyncio.ensure_future(until_stopped())
    ended = asyncio.ensure_future(azurite.ended())
    try:
        listening = asyncio.ensure_future(azurite.listening())
        await asyncio.wait([listening, stopped], return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            listening.cancel()
            return
        port = await listening
        if containers:
            await create_containers(port, containers)
        announce(port)
        await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            raise await ended
    finally:
        for wait in (stopped, ended):
            wait.cancel()
        await azurite.stop()


if __name__ == "__main__":
    sys.exit(main())
