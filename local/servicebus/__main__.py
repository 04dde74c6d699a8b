"""`python -m local.servicebus`: the Service Bus endpoint as a part of the local platform."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from local.part import EXIT_PORT_TAKEN, PortTakenError, announce, bind, until_stopped
from local.servicebus.config import ConfigError, read_config
from local.servicebus.server import Server, log
from local.servicebus.storage import SqliteStore, StoreError

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from local.servicebus.config import Config

_EXIT_FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the endpoint until it is told to stop; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.servicebus", description=__doc__)
    parser.add_argument("--port", type=int, default=5672, help="port on 127.0.0.1, 0 for any free one")
    parser.add_argument(
        "--data-dir", type=Path, default=Path(".local/servicebus"), help="folder of the queues"
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=Path(__file__).with_name("Config.json"),
        help="the emulator's Config.json",
    )
    options = parser.parse_args(arguments)
    try:
        config = read_config(options.config)
        listening = bind(options.port)
    except PortTakenError as error:
        log(str(error))
        return EXIT_PORT_TAKEN
    except ConfigError as error:
        log(str(error))
        return _EXIT_FAILED
    with listening:
        try:
            store = SqliteStore(options.data_dir / "servicebus.sqlite3")
        except StoreError as error:
            log(str(error))
            return _EXIT_FAILED
        with store:
            return uvloop.run(_serve(config, store, listening))


async def _serve(config: Config, store: SqliteStore, listening: socket.socket) -> int:
    _mention(config, store)
    server = Server(config, store)
    await server.start(listening)
    told = asyncio.ensure_future(until_stopped())
    told.add_done_callback(lambda _: server.over.set())
    await asyncio.sleep(0)  # it listens to signals before anybody learns that there is something to stop
    announce(listening.getsockname()[1])
    await server.over.wait()
    told.cancel()
    await server.stop()
    return 0 if server.failure is None else _EXIT_FAILED


def _mention(config: Config, store: SqliteStore) -> None:
    if config.topics:
        log(f"topics are declared but not supported, and are refused by name: {', '.join(config.topics)}")
    declared = {spec.name for spec in config.queues}
    orphans = sorted(name for name in store.queues() if name.partition("/$")[0] not in declared)
    if orphans:
        log(f"messages are kept for queues that are no longer declared: {', '.join(orphans)}")


if __name__ == "__main__":
    sys.exit(main())
