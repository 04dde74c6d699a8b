"""A server that does whatever servers do: each read has its own item or an error, and leaves nothing open."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

import orjson
import pytest

from tenantry_client.cosmos.aio.connection_pool import ConnectionPool
from tenantry_client.cosmos.client_core import ClientCore
from tenantry_client.cosmos.container_operations import ContainerOperations
from tenantry_client.cosmos.exceptions import AzureError
from tenantry_client.cosmos.transport import tls_context
from tests.support.soak import SOAK, sized
from tests.unit_tests.tenantry_client.cosmos.scripted_transport import KEY, container_properties

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

CASES = 10_000 if SOAK else 200
AT_ONCE = 8
READ_SECONDS = 0.05
END = b"\r\n\r\n"


class FickleServer:
    """A gateway that answers about an account, and treats each read of an item as the dice say.

    Args:
        dice: Draws what it does.
    """

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.address = ""
        self.connections = 0
        self.behaviours: list[Callable[[bytes, asyncio.StreamWriter], object]] = [
            *[self.answer] * 4,
            *(
                self.answer_in_pieces,
                self.answer_in_chunks,
                self.answer_and_close,
                self.answer_early_and_late,
            ),
            *(self.cut, self.cut_within, self.say_nonsense, self.answer_twice, self.answer_to_another),
            *(
                self.hang,
                self.answer_late,
                self.send_large_headers,
                self.answer_without_length,
                self.throttle,
            ),
        ]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(END)
                path = head.split(b" ", 2)[1].decode()
                known = {"/": self._account(), "/dbs/db/colls/items": container_properties()}
                if path in known:
                    writer.write(self._whole(head, known[path]))
                    continue
                done = self._dice.choice(self.behaviours)(head, writer)
                if asyncio.iscoroutine(done):
                    await done
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.connections -= 1
            writer.close()

    def answer(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(self._whole(head))

    async def answer_in_pieces(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        whole = self._whole(head)
        for at in range(0, len(whole), 37):
            writer.write(whole[at : at + 37])
            await asyncio.sleep(0)

    def answer_in_chunks(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        body = orjson.dumps({"id": self._item(head)})
        chunks = b"".join(b"%x\r\n%b\r\n" % (1, body[at : at + 1]) for at in range(len(body)))
        writer.write(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n%b\r\n\r\n%b0\r\n\r\n"
            % (self._echo(head), chunks)
        )

    def answer_and_close(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(self._whole(head, extra=b"connection: close\r\n"))
        writer.close()

    async def answer_early_and_late(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(self._whole(head))
        await asyncio.sleep(0)
        writer.write(self._whole(head, {"id": "late"}))

    def cut(self, _: bytes, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    def cut_within(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        whole = self._whole(head)
        writer.write(whole[: self._dice.randrange(len(whole))])
        writer.close()

    def say_nonsense(self, _: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(self._dice.randbytes(200))

    def answer_twice(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(self._whole(head) + self._whole(head, {"id": "second"}))

    def answer_to_another(self, _: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(self._whole(b"x-ms-activity-id: another\r\n", {"id": "another"}))

    async def hang(self, *_: object) -> None:
        await asyncio.sleep(READ_SECONDS * 4)

    async def answer_late(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(READ_SECONDS * 2)
        writer.write(self._whole(head))

    def send_large_headers(self, _: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000)

    def answer_without_length(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n{}" % self._echo(head))
        writer.close()

    def throttle(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(self._whole(head, {}, status=b"429 Slow"))

    def _account(self) -> dict[str, object]:
        here = [{"name": "here", "databaseAccountEndpoint": self.address}]
        return {
            "readableLocations": here,
            "writableLocations": here,
            "userConsistencyPolicy": {"defaultConsistencyLevel": "Eventual"},
        }

    @staticmethod
    def _item(head: bytes) -> str:
        return head.split(b" ", 2)[1].rpartition(b"/")[2].decode()

    @staticmethod
    def _echo(head: bytes) -> bytes:
        return next(line for line in head.split(b"\r\n") if line.startswith(b"x-ms-activity-id"))

    def _whole(
        self, head: bytes, body: object = None, *, status: bytes = b"200 OK", extra: bytes = b""
    ) -> bytes:
        raw = orjson.dumps({"id": self._item(head)} if body is None else body)
        return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n%b%b\r\n\r\n%b" % (
            status,
            len(raw),
            extra,
            self._echo(head),
            raw,
        )


@contextlib.asynccontextmanager
async def running(server: FickleServer) -> AsyncIterator[None]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    try:
        yield
    finally:
        listening.close()
        listening.close_clients()
        await listening.wait_closed()


@sized(60)
@pytest.mark.timeout(600)
async def test_each_read_has_its_own_item_or_an_error_whatever_the_server_does() -> None:
    server = FickleServer(random.Random(57))  # noqa: S311 - the same draw each time
    outcomes = {"item": 0, "error": 0}
    numbers = iter(range(CASES))
    async with running(server):
        pool = ConnectionPool(tls_context(verify=True), AT_ONCE // 2)
        options = {"read_timeout": READ_SECONDS, "connection_timeout": 10, "retry_total": 0}
        core = ClientCore(server.address, KEY, options, pool)
        items = ContainerOperations(core.container("db", "items"))
        await core.container("db", "items").facts()

        async def read_some() -> None:
            for number in numbers:
                try:
                    async with asyncio.timeout(30):  # far beyond any deadline: only what hangs gets there
                        found = await items.read(f"i{number}", "p", {})
                except AzureError:
                    outcomes["error"] += 1
                else:
                    assert found == {"id": f"i{number}"}
                    outcomes["item"] += 1

        await asyncio.gather(*(read_some() for _ in range(AT_ONCE)))
        assert pool.count_open() <= AT_ONCE // 2
        await pool.close()
        assert pool.count_open() == 0

    assert outcomes["item"] + outcomes["error"] == CASES
    assert min(outcomes.values()) > CASES / 5
