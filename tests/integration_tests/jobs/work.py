"""Both kinds of jobs, as their callers and the senders of messages see them."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageProperties

from functions.reasoning.messages import session_of
from local.supervisor.addresses import servicebus_connection_string
from tests.integration_tests.platform import wait_for
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from azure.servicebus import ServiceBusReceivedMessage

    from tests.integration_tests.platform import Caller, Platform

OVER = frozenset({"succeeded", "failed", "cancelled"})
_PAGE = 100
_ROWS = 1_000


@dataclass(frozen=True)
class Work:
    """One capability with its queues.

    Attributes:
        name: What its ids begin with.
        path: The path of its routes.
        in_queue: The queue of its requests.
        out_queue: The queue of its results.
        app_id: The application whose budget it takes.
        more: Fields of a request beside id and text.
        imports: Whether many jobs are posted as one file.
    """

    name: str
    path: str
    in_queue: str
    out_queue: str
    app_id: str
    more: Mapping[str, object]
    imports: bool = False

    def request(self, job_id: str, text: str, **fields: object) -> dict[str, object]:
        """Return what a caller posts."""
        return {"id": job_id, "text": text, **self.more, **fields}

    def post(self, caller: Caller, job_id: str, text: str = "How late is it?") -> None:
        """Post a job; wait where the tenant's rate says so."""
        answer = wait_for(
            lambda: caller.send("POST", self.path, self.request(job_id, text)),
            lambda answer: answer.status_code != httpx.codes.TOO_MANY_REQUESTS,
            120,
        )
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text

    def post_many(self, caller: Caller, first: int, count: int, text: str) -> None:
        """Post many jobs: one after the other, or as files of rows."""
        if not self.imports:
            for number in range(first, first + count):
                self.post(caller, f"flood-{number}", text)
            return
        for begin in range(0, count, _ROWS):
            rows = min(_ROWS, count - begin)
            caller.must("POST", f"{self.path}/import", {"csv": "language,text\n" + f"en,{text}\n" * rows})

    def count(self, caller: Caller, status: str) -> int:
        """Count the jobs of a status, up to a page of them."""
        return len(caller.must("GET", f"{self.path}?status={status}&limit=50")["items"])

    def show(self, caller: Caller, job_id: str) -> dict[str, Any]:
        """Return a job as it stands; nothing where there is none yet."""
        answer = caller.send("GET", f"{self.path}/{job_id}")
        shown: dict[str, Any] = {} if answer.status_code == httpx.codes.NOT_FOUND else answer.json()
        return shown

    def list(self, caller: Caller) -> list[dict[str, Any]]:
        """Return all jobs of a tenant."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = caller.must("GET", f"{self.path}?limit={_PAGE}{cursor}")
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    def wait_until_over(self, caller: Caller, job_id: str, seconds: float = 120) -> dict[str, Any]:
        """Wait for the end of a job, and return it."""
        return wait_for(
            lambda: self.show(caller, job_id), lambda job: job.get("status") in OVER, seconds, "last state"
        )


REASONING = Work("r", "/api/v1/reasoning/jobs", "reasoner-in", "reasoner-out", "reasoner", {})
FEEDBACK = Work(
    "f",
    "/api/v1/feedback",
    "feedback-form-in",
    "feedback-form-out",
    "feedback",
    {"language": "en"},
    imports=True,
)
BOTH = (REASONING, FEEDBACK)


class Senders:
    """Senders of messages who know the connection string."""

    def __init__(self, client: ServiceBusClient) -> None:
        self._senders = {work.name: client.get_queue_sender(work.in_queue) for work in BOTH}
        self._one_at_a_time = threading.Lock()

    def send(self, work: Work, body: bytes, message_id: str, session_id: str) -> None:
        """Put a body on a queue, into a session where the queue has them."""
        session = session_id if work is REASONING else None
        message = ServiceBusMessage(body, message_id=message_id, session_id=session)
        with self._one_at_a_time:  # senders of the SDK are no thread's but one's
            self._senders[work.name].send_messages(message)

    def send_amqp(self, work: Work, message_id: str, session_id: str, **body: Any) -> None:  # noqa: ANN401  # the SDK's bodies
        """Put a message on a queue whose body is of another kind: `value_body` or `sequence_body`."""
        session = session_id if work is REASONING else None
        properties = AmqpMessageProperties(message_id=message_id, group_id=session)
        with self._one_at_a_time:
            self._senders[work.name].send_messages(AmqpAnnotatedMessage(properties=properties, **body))

    def send_request(self, work: Work, tenant_id: str, request: Mapping[str, object]) -> None:
        """Put a request on its queue, where the app would put it."""
        body = json.dumps({"tenant_id": tenant_id, **request}).encode()
        job_id = str(request["id"])
        self.send(work, body, f"{tenant_id}:{job_id}", session_of(tenant_id, job_id))


@contextmanager
def senders_of(platform: Platform) -> Iterator[Senders]:
    """Open the senders of a platform's queues."""
    with broker_of(platform) as client:
        yield Senders(client)


@contextmanager
def broker_of(platform: Platform) -> Iterator[ServiceBusClient]:
    """Connect to a platform's broker."""
    port = int(platform.addresses["servicebus"].rpartition(":")[2])
    with ServiceBusClient.from_connection_string(
        servicebus_connection_string(port), ssl_context=NO_TLS
    ) as client:
        yield client


@dataclass
class Results:
    """What came out of the out queues.

    Attributes:
        ids: The broker's message ids of each job, by tenant and job, with how often each came.
        bodies: The bodies of each job, by tenant and job.
        first_at: The time at which the broker had the first one of each job.
    """

    ids: defaultdict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    bodies: defaultdict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))

    first_at: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def add(self, message: ServiceBusReceivedMessage) -> None:
        """Note a message."""
        told = json.loads(str(message))
        job = (told["tenant_id"], told["id"])
        self.ids[job][message.message_id or ""] += 1
        assert message.enqueued_time_utc is not None
        self.first_at.setdefault(job, message.enqueued_time_utc)
        self.bodies[job].add(json.dumps(told, sort_keys=True))

    @property
    def repeats(self) -> int:
        """Tell how many messages were the same as one before."""
        return sum(sum(ids.values()) - 1 for ids in self.ids.values())


@contextmanager
def collected_results(platform: Platform) -> Iterator[Results]:
    """Take everything off both out queues until the block ends."""
    results, over = Results(), threading.Event()

    def collect(client: ServiceBusClient, queue: str) -> None:
        with client.get_queue_receiver(queue) as receiver:
            while not over.is_set():
                for message in receiver.receive_messages(max_message_count=50, max_wait_time=0.5):
                    results.add(message)
                    receiver.complete_message(message)

    with broker_of(platform) as client:
        threads = [threading.Thread(target=collect, args=(client, work.out_queue)) for work in BOTH]
        for thread in threads:
            thread.start()
        try:
            yield results
        finally:
            over.set()
            for thread in threads:
                thread.join()


def post_through_kills(caller: Caller, work: Work, request: Mapping[str, object]) -> None:
    """Post a job as a careful client does: what breaks off is asked again, under the same id."""

    def ask() -> int:
        try:
            return caller.send("POST", work.path, request).status_code
        except httpx.TransportError:
            return 0

    again = {0, httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE}
    status = wait_for(ask, lambda status: status not in again)
    assert status == httpx.codes.ACCEPTED


def patiently[T](ask: Callable[[], T]) -> T:
    """Ask again what breaks off because an instance is killed."""

    def attempt() -> list[T]:
        try:
            return [ask()]
        except httpx.TransportError:
            return []

    return wait_for(attempt, bool)[0]
