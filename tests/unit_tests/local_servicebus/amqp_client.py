"""An AMQP client without sockets: Proton's client engine, its bytes carried to a `Connection` by hand."""
# ruff: noqa: ANN401 - C pointers, and AMQP values of any type

from __future__ import annotations

import base64
import hmac
import uuid
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import cproton as pn
from proton import Data, Delivery, Link, Message, symbol

from local.servicebus.engine.broker import Broker
from local.servicebus.faults import Faults
from local.servicebus.wire import codec
from local.servicebus.wire.connection import Connection
from local.servicebus.wire.node import Hub, Node
from local.servicebus.wire.tokens import TokenCheck
from tests.unit_tests.local_servicebus.doubles import FakeClock, FakeStore, FakeTokens

if TYPE_CHECKING:
    from local.servicebus.engine.model import QueueSpec

KEY_NAME, KEY = "RootManageSharedAccessKey", "SAS_KEY_VALUE"
SASL = b"AMQP\x03\x01\x00\x00"


def sasl_init(mechanism: str) -> bytes:
    body = codec.encode_described(0x41, codec.encode_list([codec.encode_symbol(mechanism)]))
    return (8 + len(body)).to_bytes(4) + b"\x02\x01\x00\x00" + body


def sas(clock: FakeClock, key: str = KEY, name: str = KEY_NAME, seconds: int = 60) -> str:
    resource = quote_plus("sb://localhost/q")
    expiry = clock.now // 1000 + seconds
    digest = hmac.digest(key.encode(), f"{resource}\n{expiry}".encode(), sha256)
    signature = quote_plus(base64.b64encode(digest))
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={name}"


@dataclass
class _Planned:
    due: int
    action: Any
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class World:
    """A node with its broker, and the turns that a server would give it."""

    specs: list[QueueSpec]
    clock: FakeClock = field(default_factory=FakeClock)
    store: FakeStore = field(default_factory=FakeStore)
    faults: Faults = field(default_factory=Faults)
    planned: list[_Planned] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.broker = Broker(self.specs, self.store, self.clock, FakeTokens(), ["a-topic"])
        self.hub = Hub(self.broker)
        check = TokenCheck(KEY_NAME, KEY, self.clock)
        self.node = Node(
            self.broker, self.hub, self.faults, check, self.clock, self._later, max_message_size=10_000
        )

    def _later(self, delay_ms: int, action: Any) -> _Planned:
        planned = _Planned(self.clock.now + delay_ms, action)
        self.planned.append(planned)
        return planned

    def connect(self, *, authorize: bool = True) -> Client:
        client = Client(self)
        self.clients.append(client)
        if authorize:
            assert client.put_token(sas(self.clock)) == 202
        return client

    def pass_time(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds)
        due = [planned for planned in self.planned if planned.due <= self.clock.now and not planned.cancelled]
        self.planned = [planned for planned in self.planned if planned.due > self.clock.now]
        for planned in due:
            planned.action()
        self.settle()

    def settle(self) -> None:
        """Carry bytes to and fro until nobody says anything more."""
        busy = True
        while busy:
            self.broker.advance()
            self.hub.pump()
            busy = any([client.exchange() for client in self.clients])  # noqa: C419 - each is to have its turn


class Client:
    """One connection with one session."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.connection = Connection(world.node, world.logged.append)
        self.connection.feed(SASL)
        self.connection.feed(sasl_init("ANONYMOUS"))
        answer = self.connection.output()
        assert answer.startswith(SASL)
        assert answer.endswith(b"\x50\x00"), "SASL was refused"
        self._transport = pn.pn_transport()
        pn.pn_transport_set_max_frame(self._transport, 1024)
        self._connection = pn.pn_connection()
        pn.pn_connection_set_container(self._connection, "client")
        self._collector = pn.pn_collector()
        pn.pn_connection_collect(self._connection, self._collector)
        pn.pn_transport_bind(self._transport, self._connection)
        pn.pn_connection_open(self._connection)
        self._session = pn.pn_session(self._connection)
        pn.pn_session_open(self._session)
        self.cut_off = False
        world.clients.append(self)
        world.settle()
        world.clients.remove(self)

    def exchange(self) -> bool:
        busy = False
        while (pending := pn.pn_transport_pending(self._transport)) > 0:
            size, data = pn.pn_transport_peek(self._transport, pending)
            pn.pn_transport_pop(self._transport, size)
            self.connection.feed(bytes(data))
            busy = True
        data = self.connection.output()
        while data:
            room = pn.pn_transport_capacity(self._transport)
            pn.pn_transport_push(self._transport, data[:room])
            data = data[room:]
            busy = True
        self.cut_off = self.connection.dropped
        while not pn.isnull(pn.pn_collector_peek(self._collector)):
            pn.pn_collector_pop(self._collector)
        return busy

    def sender(self, address: str, *, coordinator: bool = False) -> Any:
        impl = pn.pn_sender(self._session, str(uuid.uuid4()))
        if coordinator:
            pn.pn_terminus_set_type(pn.pn_link_target(impl), pn.PN_COORDINATOR)
        else:
            pn.pn_terminus_set_address(pn.pn_link_target(impl), address)
        return self._opened(impl)

    def receiver(
        self,
        address: str,
        *,
        credit: int = 10,
        settled: bool = False,
        filters: Any = None,
        properties: Any = None,
    ) -> Any:
        name = str(uuid.uuid4())
        impl = pn.pn_receiver(self._session, name)
        source = pn.pn_link_source(impl)
        pn.pn_terminus_set_address(source, address)
        pn.pn_terminus_set_address(pn.pn_link_target(impl), name)
        if filters is not None:
            Data(pn.pn_terminus_filter(source)).put_object(
                {symbol(key): value for key, value in filters.items()}
            )
        if properties is not None:
            Data(pn.pn_link_properties(impl)).put_object(
                {symbol(key): value for key, value in properties.items()}
            )
        pn.pn_link_set_snd_settle_mode(impl, pn.PN_SND_SETTLED if settled else pn.PN_SND_UNSETTLED)
        pn.pn_link_set_rcv_settle_mode(impl, pn.PN_RCV_SECOND)
        if credit:
            pn.pn_link_flow(impl, credit)
        return self._opened(impl)

    def _opened(self, impl: Any) -> Any:
        pn.pn_link_open(impl)
        self.world.settle()
        wrap: Any = Link.wrap  # which says nothing of its types
        return wrap(impl)

    def send(self, link: Link, content: bytes | Message) -> Delivery:
        delivery = link.delivery(str(uuid.uuid4()))
        pn.pn_link_send(link._impl, content if isinstance(content, bytes) else content.encode())  # noqa: SLF001 - by C
        link.advance()
        self.world.settle()
        return delivery

    def receive(self, link: Link) -> tuple[Delivery, Any] | None:
        delivery = link.current
        if delivery is None or delivery.partial:
            return None
        message = Message()
        message.decode(bytes(link.recv(delivery.pending) or b""))
        link.advance()
        return delivery, message

    def take(self, link: Link) -> tuple[Delivery, Any]:
        received = self.receive(link)
        assert received is not None, "no message came"
        return received

    def settle(self, delivery: Delivery, disposition: int, **details: Any) -> Delivery:
        """Decide on a delivery, and leave it to the broker to settle it."""
        for name, value in details.items():
            setattr(delivery.local, name, value)
        delivery.update(disposition)
        self.world.settle()
        assert delivery.settled
        return delivery

    def request(self, address: str, operation: str, body: Any, **properties: Any) -> Any:
        replies = self.receiver(address)
        requests = self.sender(address)
        message = Message(body=body, properties={"operation": operation, **properties})
        message.id = uuid.uuid4()
        message.reply_to = replies.name
        self.send(requests, message)
        _, reply = self.take(replies)
        assert reply.correlation_id == message.id
        return reply

    def put_token(self, token: str) -> int:
        reply = self.request(
            "$cbs", "put-token", token, type="servicebus.windows.net:sastoken", name="sb://x/q"
        )
        assert reply.properties is not None
        return int(reply.properties["status-code"])


def rejection(delivery: Delivery) -> str | None:
    """Give why a delivery was rejected."""
    remote: Any = delivery.remote  # whose types deny that there may be a condition
    return remote.condition.name if remote.condition else None


def refusal(link: Any) -> str | None:
    """Give why a link was ended."""
    condition = link.remote_condition
    return condition.name if condition else None
