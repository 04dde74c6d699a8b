"""Secrets, prompts and personal data, other ones in each run, are in no log file, no blob and no index."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from functions.logs.chunks import BlobPath, read_lines
from shared.logging.configure import configure_logging, stop_logging
from shared.logging.fields import UNLISTED
from shared.settings import LoggingSettings
from shared.tenancy.context import Role
from tests.support.canaries import Canaries
from tests.support.fakes import Call, StillClock
from tests.support.isolation import BODIES, NAMES
from tests.support.whole_app import MemoryBlobs, whole_app
from tests.unit_tests.messaging.deliveries import FakeDelivery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.canaries import CanaryCall
    from tests.support.fakes import Answer
    from tests.support.whole_app import WholeApp


@pytest.fixture
def _logging_to(tmp_path: Path) -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in ("shared", "functions", "azure")}
    configure_logging(LoggingSettings(log_dir=tmp_path, log_level="DEBUG"))
    yield
    stop_logging()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


async def use_everything(app: WholeApp, canaries: Canaries, *, keeps: bool) -> None:
    """Call each operation with canaries: as it should be, broken, as a stream; and work on what is queued."""
    await app.new_tenant("acme")
    headers = await app.new_key("acme", Role.TENANT_ADMIN)
    canaries.known.add(headers["authorization"].removeprefix("Bearer "))
    switch = Call.of({"value": keeps}, headers=headers, key="logs.keep_content")
    await app.must("put_setting", switch)
    names = dict(NAMES) | {"tenant_id": "acme"}

    async def send(call: CanaryCall) -> Answer:
        content = b"" if call.body is None else json.dumps(call.body).encode()
        sent = Call(dict(call.path), call.query, headers | dict(call.headers), content)
        return await app.client.call(call.operation.name, sent)

    for call in canaries.setup(names):
        answer = await send(call)
        if answer.status < 400:
            told = answer.json()
            names |= {name: told[member] for name, member in call.learns.items()}
            canaries.learn(told)
    await work_on_queues(app, canaries)
    for call in canaries.calls(names):
        answer = await send(call)
        if answer.status < 400 and answer.headers.get("content-type") == "application/json":
            canaries.learn(answer.json())
    await work_on_queues(app, canaries)
    await app.runtime.content_keeper.close()


async def work_on_queues(app: WholeApp, canaries: Canaries) -> None:
    """Deliver what was sent to the app's own queues, and messages that nobody can read."""
    consumers = {"reasoner-in": "run_job", "feedback-form-in": "analyse_feedback"}
    sent = app.runtime.sender.sent  # type: ignore[attr-defined]  # the one in memory
    for _, queue, message in list(sent):
        if queue in consumers:
            await app.functions[consumers[queue]](FakeDelivery(message.body))
    for consumer in consumers.values():
        broken = {"tenant_id": "acme", "id": "broken", "taskId": "t", "text": [canaries.text()]}
        for body in (json.dumps(broken), canaries.text(), json.dumps({"text": canaries.text()})):
            await app.functions[consumer](FakeDelivery(body.encode()))
    for timer in ("sweep_outbox", "sweep_feedback", "watch_dead_letters"):
        await app.tick(timer)


@pytest.mark.slow
@pytest.mark.usefixtures("_logging_to")
@pytest.mark.parametrize("keeps", [False, True])
async def test_no_canary_is_in_any_log_file_blob_or_index(tmp_path: Path, *, keeps: bool) -> None:
    canaries = Canaries()
    async with whole_app(StillClock(), LOG_DIR=str(tmp_path)) as app:
        await app.load_tokenizer()
        await use_everything(app, canaries, keeps=keeps)
        files = await asyncio.to_thread(lambda: [path.read_text() for path in tmp_path.iterdir()])
        await app.tick("ship_logs")
        await app.tick("tidy_logs")
        chunks = {name: content for name, content in app.blobs.items() if name.endswith(".gz")}
        shipped = {
            name: b"".join(read_lines(BlobPath.parse(name), content)).decode()
            for name, content in chunks.items()
        }
        proxy = app.cosmos.client.get_database_client("tenantry").get_container_client("log_index")
        indexed = [json.dumps(item) async for item in proxy.query_items("SELECT * FROM c")]
        stored: MemoryBlobs = app.runtime.__dict__["content_blobs"]
        contents = [content.decode() for content in stored.blobs.values()]

    everything = "".join(files)
    assert UNLISTED not in everything, "each field is on the list"
    assert len(canaries.known) > 200
    assert len(re.findall(r'"message":"Request', everything)) > 100, "it did log what was done"
    left_out = Counter(everything.splitlines()) - Counter("".join(shipped.values()).splitlines())
    assert left_out.total() == 0, "and all of it was shipped"
    assert {name.partition("/")[0] for name in shipped} == {"acme", "_platform"}
    for place, texts in (("files", files), ("blobs", shipped.values()), ("index", indexed)):
        assert {canary for text in texts for canary in canaries.found_in(text)} == set(), place
    kept = {canary for text in contents for canary in canaries.found_in(text)}
    assert len(kept) > 20 if keeps else contents == []


def test_a_canary_would_be_found() -> None:
    canaries = Canaries()
    text = canaries.text()

    assert len(canaries.found_in(f'{{"message":"{text}"}}')) == 5
    assert canaries.filled({"csv": "x", "id": "x"})["id"] == "x"
    assert BODIES.keys() >= {"chat", "accept_job", "accept_feedback"}
    assert Canaries(7).text() == Canaries(7).text() != text
