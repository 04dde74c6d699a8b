"""Secrets, prompts and personal data, other ones in each run, are in no log file, no blob and no index."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from functions.logs.chunks import BlobPath, read_lines
from shared.logging.configure import configure_logging, stop_logging
from shared.settings import LoggingSettings
from shared.tenancy.context import Role
from tests.support.fakes import Call, StillClock
from tests.support.isolation import BODIES, NAMES, SETUP, operation, operations
from tests.support.whole_app import whole_app
from tests.unit_tests.messaging.deliveries import FakeDelivery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.whole_app import WholeApp

TEXTS = {
    *("message", "template", "text", "title", "comment", "description", "system_prompt", "reason", "csv"),
    *("input", "instructions"),
}
"""Members of bodies that people fill with words."""


@dataclass
class Canaries:
    """Words that nobody else uses; each text has some, and each of them is known."""

    known: set[str] = field(default_factory=set)

    def text(self) -> str:
        """Write a text with a secret, a prompt's words and somebody's data."""
        word = f"canary{secrets.token_hex(8)}"
        mail = f"{secrets.token_hex(6)}@{secrets.token_hex(4)}.example"
        phone = f"+4915{secrets.randbelow(10**9):09}"
        key, password = f"sk-{secrets.token_hex(16)}", secrets.token_hex(10)
        self.known |= {word, mail, phone, key, password}
        return f"My {word} is {mail}, {phone}, {key}, password={password}"

    def filled(self, body: object, name: str = "") -> Any:  # noqa: ANN401  # JSON of any shape
        """Put canaries where a body has words."""
        match body:
            case dict():
                return {member: self.filled(value, member) for member, value in body.items()}
            case list():
                return [self.filled(value, name) for value in body]
            case str() if name in TEXTS or name == "content":
                return f'language,text\nen,"{self.text()}"\n' if name == "csv" else self.text()
            case _:
                return body

    def found_in(self, text: str) -> set[str]:
        """Return those that stand in a text."""
        return {canary for canary in self.known if canary in text}


@pytest.fixture
def _logging_to(tmp_path: Path) -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in ("shared", "functions", "azure")}
    configure_logging(LoggingSettings(log_dir=tmp_path, log_level="DEBUG"))
    yield
    stop_logging()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


async def use_everything(app: WholeApp, canaries: Canaries) -> None:
    """Call each operation with canaries: as it should be, broken, as a stream; and work on what is queued."""
    await app.new_tenant("acme")
    headers = await app.new_key("acme", Role.TENANT_ADMIN)
    canaries.known.add(headers["authorization"].removeprefix("Bearer "))
    names = dict(NAMES) | {"tenant_id": "acme"}
    for step in SETUP:
        address = operation(step.operation).address(names)
        answer = await app.client.call(
            step.operation, Call.of(canaries.filled(step.body), headers=headers, **address)
        )
        if answer.status < 400:
            told = answer.json()
            names |= {name: told[member] for name, member in step.learns.items()}
            canaries.known |= {told[member] for member in ("key", "secret") if told.get(member)}
    names = {"import_id": "none", "webhook_id": "none", "key_id": "none", "lock_id": "none"} | names
    await work_on_queues(app, canaries)
    for one in operations():
        if one.method == "DELETE" or one.name in {"revoke_key", "rotate_key", "purge_tenant"}:
            continue
        body = canaries.filled(one.body(names))
        address, query = one.address(names), f"x={canaries.text()}".replace(" ", "+")
        calls = [
            Call.of(body, headers=headers, query=one.needed_query(names), **address),
            Call.of(body, headers=headers, query=query, **address),
        ]
        if body is not None:
            calls.append(Call.of(body | {canaries.text(): canaries.text()}, headers=headers, **address))
            calls.append(Call.of({member: [canaries.text()] for member in body}, headers=headers, **address))
        if one.name in {"chat", "create_chat_completion"}:
            calls.append(Call.of(body | {"stream": True}, headers=headers, **address))
        for call in calls:
            await app.client.call(one.name, call)
    await work_on_queues(app, canaries)


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
async def test_no_canary_is_in_any_log_file_blob_or_index(tmp_path: Path) -> None:
    canaries = Canaries()
    async with whole_app(StillClock(), LOG_DIR=str(tmp_path)) as app:
        await app.load_tokenizer()
        await use_everything(app, canaries)
        files = await asyncio.to_thread(lambda: [path.read_text() for path in tmp_path.iterdir()])
        await app.tick("ship_logs")
        await app.tick("tidy_logs")
        chunks = {name: content for name, content in app.blobs.items() if name.endswith(".gz")}
        shipped = {
            name: b"".join(read_lines(BlobPath.parse(name), content)).decode()
            for name, content in chunks.items()
        }
        proxy = app.cosmos.client.get_database_client("tenantry").get_container_client("log_index")
        indexed = [
            json.dumps(item) async for item in proxy.query_items("SELECT c.id, c.blob, c.counts FROM c")
        ]

    everything = "".join(files)
    assert len(canaries.known) > 200
    assert len(re.findall(r'"message":"Request', everything)) > 100, "it did log what was done"
    left_out = Counter(everything.splitlines()) - Counter("".join(shipped.values()).splitlines())
    assert left_out.total() == 0, "and all of it was shipped"
    assert {name.partition("/")[0] for name in shipped} == {"acme", "_platform"}
    for place, texts in (("files", files), ("blobs", shipped.values()), ("index", indexed)):
        assert {canary for text in texts for canary in canaries.found_in(text)} == set(), place


def test_a_canary_would_be_found() -> None:
    canaries = Canaries()
    text = canaries.text()

    assert len(canaries.found_in(f'{{"message":"{text}"}}')) == 5
    assert canaries.filled({"csv": "x", "id": "x"})["id"] == "x"
    assert BODIES.keys() >= {"chat", "accept_job", "accept_feedback"}
