"""`python -m local.cosmos`: the Cosmos DB endpoint as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import uvloop

from local import part
from local.cosmos.engine.account import Account
from local.cosmos.errors import CosmosError
from local.cosmos.sql.query import compile_query
from local.cosmos.storage.database import Database, DataFormatError, DataInUseError
from local.cosmos.wire.authorization import MasterKey
from local.cosmos.wire.gateway import Gateway
from local.cosmos.wire.server import serve

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the endpoint until it is told to stop."""
    options = _parser().parse_args(arguments)
    try:
        listener = part.bind(options.port)
    except part.PortTakenError as error:
        print(error, file=sys.stderr)
        return part.EXIT_PORT_TAKEN
    with listener:
        try:
            return _serve(options, listener)
        except (CosmosError, DataFormatError, DataInUseError, OSError, orjson.JSONDecodeError) as error:
            print(error, file=sys.stderr)
            return 1


def _serve(options: argparse.Namespace, listener: socket.socket) -> int:
    with contextlib.closing(Database(options.data_dir / "cosmos.sqlite")) as store:
        account = Account(store, time.time)
        _prepare(account, options)
        uvloop.run(_run(account, listener))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.cosmos", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=8081, help="where to listen on 127.0.0.1; 0 takes a free port"
    )
    parser.add_argument("--data-dir", type=Path, default=Path(".local/cosmos"), help="where the data lives")
    parser.add_argument("--definition", type=Path, help="databases and containers to create at the start")
    parser.add_argument(
        "--enforce-throughput", action="store_true", help="answer 429 above a container's throughput"
    )
    return parser


def _prepare(account: Account, options: argparse.Namespace) -> None:
    compile_query("SELECT * FROM c")  # loads the grammar now, not while the first query waits
    if options.definition is not None:
        account.catalog.ensure(orjson.loads(options.definition.read_bytes()))
    if options.enforce_throughput:
        for container in account.catalog.all_containers():
            account.limits.set(container.name, container.row.throughput or 400)


async def _run(account: Account, listener: socket.socket) -> None:
    async with serve(Gateway(account, MasterKey()), account, listener):
        stopped = asyncio.create_task(part.until_stopped())
        await asyncio.sleep(0)  # it listens to signals before anybody knows that there is somebody to signal
        part.announce(listener.getsockname()[1])
        await stopped


if __name__ == "__main__":
    sys.exit(main())
