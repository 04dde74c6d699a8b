"""One AMQP connection's protocol state, by Proton's engine, without I/O; all that knows Proton is here.

Proton's C functions are called directly where messages pass: its Python objects cost several times as much.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol

import cproton as pn
from proton import Data, Described, symbol

from local.servicebus.wire.frames import MAX_FRAME

if TYPE_CHECKING:
    from collections.abc import Mapping

_IDLE_TIMEOUT: Final = 120_000


class Disposition(Enum):
    """The outcome of a delivery."""

    ACCEPTED = pn.PN_ACCEPTED
    REJECTED = pn.PN_REJECTED
    RELEASED = pn.PN_RELEASED
    MODIFIED = pn.PN_MODIFIED


@dataclass(frozen=True, slots=True)
class Condition:
    """An AMQP error."""

    name: str
    description: str
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RemoteOutcome:
    """A delivery's end, as its receiver states it."""

    disposition: Disposition | None
    settled: bool
    undeliverable_here: bool = False
    delivery_failed: bool = False
    annotations: Mapping[str, Any] = field(default_factory=dict)
    condition: Condition | None = None


class Link:
    """One link, seen from this side: `is_sender` means that messages go out on it."""

    __slots__ = ("_impl", "_key", "address", "handler", "is_sender", "name", "session_key")

    def __init__(self, impl: Any) -> None:  # noqa: ANN401 - a C pointer
        self._impl = impl
        self._key = pn.addressof(impl)
        self.name: str = pn.pn_link_name(impl)
        self.is_sender: bool = bool(pn.pn_link_is_sender(impl))
        terminus = pn.pn_link_remote_source(impl) if self.is_sender else pn.pn_link_remote_target(impl)
        self.address: str = pn.pn_terminus_get_address(terminus) or ""
        self.session_key: int = pn.addressof(pn.pn_link_session(impl))
        self.handler: LinkHandler | None = None

    @property
    def is_coordinator(self) -> bool:
        """Whether the peer wants to begin transactions on it."""
        return bool(pn.pn_terminus_get_type(pn.pn_link_remote_target(self._impl)) == pn.PN_COORDINATOR)

    @property
    def remote_target(self) -> str | None:
        """The address at which the peer receives."""
        address: str | None = pn.pn_terminus_get_address(pn.pn_link_remote_target(self._impl))
        return address

    @property
    def remote_properties(self) -> Mapping[str, Any]:
        """The properties of the peer's attach."""
        return _mapping(pn.pn_link_remote_properties(self._impl))

    @property
    def remote_filters(self) -> Mapping[str, Any]:
        """The filters of the peer's source."""
        return _mapping(pn.pn_terminus_filter(pn.pn_link_remote_source(self._impl)))

    @property
    def peer_wants_settled(self) -> bool:
        """Whether the peer wants its deliveries settled at once."""
        return bool(pn.pn_link_remote_snd_settle_mode(self._impl) == pn.PN_SND_SETTLED)

    @property
    def credit(self) -> int:
        """The number of deliveries that may go out, or come in."""
        return int(pn.pn_link_credit(self._impl))

    @property
    def draining(self) -> bool:
        """Whether the peer wants its credit used up or given back."""
        return bool(pn.pn_link_get_drain(self._impl))

    def open(
        self,
        properties: Mapping[str, Any] | None = None,
        filters: Mapping[str, str] | None = None,
        max_message_size: int = 0,
    ) -> None:
        """Answer the peer's attach in kind."""
        impl = self._impl
        pn.pn_terminus_copy(pn.pn_link_source(impl), pn.pn_link_remote_source(impl))
        pn.pn_terminus_copy(pn.pn_link_target(impl), pn.pn_link_remote_target(impl))
        if filters:
            _put(pn.pn_terminus_filter(pn.pn_link_source(impl)), filters)
        pn.pn_link_set_snd_settle_mode(impl, pn.pn_link_remote_snd_settle_mode(impl))
        pn.pn_link_set_rcv_settle_mode(impl, pn.pn_link_remote_rcv_settle_mode(impl))
        pn.pn_link_set_max_message_size(impl, max_message_size)
        if properties:
            _put(pn.pn_link_properties(impl), properties)
        pn.pn_link_open(impl)

    def refuse(self, condition: Condition) -> None:
        """Answer the attach without the terminus that was asked for, then end the link with an error."""
        terminus = pn.pn_link_source(self._impl) if self.is_sender else pn.pn_link_target(self._impl)
        pn.pn_terminus_set_type(terminus, pn.PN_UNSPECIFIED)
        pn.pn_link_open(self._impl)
        self.close(condition)

    def close(self, condition: Condition | None = None) -> None:
        """End the link."""
        if condition is not None:
            _set_condition(pn.pn_link_condition(self._impl), condition)
        pn.pn_link_close(self._impl)

    def free(self) -> None:
        """Forget the link, once both sides have ended it."""
        pn.pn_link_free(self._impl)

    def grant(self, credit: int) -> None:
        """Let the peer send so many more."""
        pn.pn_link_flow(self._impl, credit)

    def give_credit_back(self) -> None:
        """Tell a draining peer that nothing more comes."""
        pn.pn_link_drained(self._impl)

    def send(self, tag: bytes, content: bytes, *, settled: bool) -> OutgoingDelivery:
        """Send a message."""
        impl = pn.pn_delivery(self._impl, tag)
        pn.pn_link_send(self._impl, content)
        delivery = OutgoingDelivery(impl)
        if settled:
            pn.pn_delivery_settle(impl)
        else:
            pn.pn_link_advance(self._impl)
        return delivery


class OutgoingDelivery:
    """A message that went out, until it is settled."""

    __slots__ = ("_impl", "key")

    def __init__(self, impl: Any) -> None:  # noqa: ANN401 - a C pointer
        self._impl = impl
        self.key: int = pn.addressof(impl)

    def outcome(self) -> RemoteOutcome:
        """Give what the peer says became of it."""
        impl = self._impl
        settled = bool(pn.pn_delivery_settled(impl))
        state = pn.pn_delivery_remote_state(impl)
        if state == pn.PN_ACCEPTED:
            return RemoteOutcome(Disposition.ACCEPTED, settled)
        if state not in (pn.PN_REJECTED, pn.PN_RELEASED, pn.PN_MODIFIED):
            return RemoteOutcome(None, settled)
        remote = pn.pn_delivery_remote(impl)
        return RemoteOutcome(
            Disposition(state),
            settled,
            undeliverable_here=bool(pn.pn_disposition_is_undeliverable(remote)),
            delivery_failed=bool(pn.pn_disposition_is_failed(remote)),
            annotations=_mapping(pn.pn_disposition_annotations(remote)),
            condition=_read_condition(pn.pn_disposition_condition(remote)),
        )

    def settle_like(self, outcome: RemoteOutcome) -> None:
        """Confirm the peer's outcome."""
        if outcome.disposition is not None:
            local = pn.pn_delivery_local(self._impl)
            if outcome.disposition is Disposition.MODIFIED:
                pn.pn_disposition_set_failed(local, outcome.delivery_failed)
                pn.pn_disposition_set_undeliverable(local, outcome.undeliverable_here)
            pn.pn_delivery_update(self._impl, outcome.disposition.value)
        pn.pn_delivery_settle(self._impl)

    def settle_rejected(self, condition: Condition) -> None:
        """Tell the peer that its outcome could not be applied."""
        _reject(self._impl, condition)


class IncomingDelivery:
    """A message that came in, until it is settled."""

    __slots__ = ("_impl", "content", "message_format")

    def __init__(self, impl: Any, content: bytes, message_format: int) -> None:  # noqa: ANN401 - a C pointer
        self._impl = impl
        self.content = content
        self.message_format = message_format

    def accept(self) -> None:
        """Tell the peer that it is stored."""
        pn.pn_delivery_update(self._impl, pn.PN_ACCEPTED)
        pn.pn_delivery_settle(self._impl)

    def reject(self, condition: Condition) -> None:
        """Tell the peer that it is refused."""
        _reject(self._impl, condition)


class LinkHandler:
    """Acts on the events of a link: not at all, but for what a subclass overrides."""

    def on_flow(self) -> None:
        """Act on changed credit."""

    def on_message(self, delivery: IncomingDelivery) -> None:
        """Act on a message that came in."""

    def on_too_large(self, delivery: IncomingDelivery) -> None:
        """Act on a message beyond the size limit, whose content is not there."""

    def on_outcome(self, delivery: OutgoingDelivery) -> None:
        """Act on what became of a message that went out."""

    def on_closed(self) -> None:
        """Let go of the link: the peer ended it, or the connection is gone."""


class ProtocolEngine:
    """The protocol state of a connection: bytes in, handlers called, bytes out."""

    def __init__(self, container: str, most_bytes: int, attach: AttachHandler) -> None:
        self._attach = attach
        self._most_bytes = most_bytes
        self._links: dict[int, Link] = {}
        self._oversized: set[int] = set()
        self._connection = pn.pn_connection()
        self._collector = pn.pn_collector()
        self._transport = pn.pn_transport()
        pn.pn_transport_set_server(self._transport)
        pn.pn_transport_set_max_frame(self._transport, MAX_FRAME)
        pn.pn_transport_set_idle_timeout(self._transport, _IDLE_TIMEOUT)
        pn.pn_connection_set_container(self._connection, container)
        pn.pn_connection_collect(self._connection, self._collector)
        pn.pn_transport_bind(self._transport, self._connection)
        self._closing = False

    @property
    def finished(self) -> bool:
        """Whether nothing more comes out of it."""
        return self._closing and pn.pn_transport_pending(self._transport) <= 0

    @property
    def links(self) -> list[Link]:
        """The links that are attached."""
        return list(self._links.values())

    def feed(self, data: bytes) -> None:
        """Take received bytes, and call the handlers for what they mean."""
        while data:
            capacity = pn.pn_transport_capacity(self._transport)
            if capacity <= 0:
                break
            pn.pn_transport_push(self._transport, data[:capacity])
            data = data[capacity:]
            self._dispatch()

    def output(self) -> bytes:
        """Give the bytes that are to be sent."""
        pieces = []
        while (pending := pn.pn_transport_pending(self._transport)) > 0:
            size, piece = pn.pn_transport_peek(self._transport, pending)
            if size <= 0:
                break
            pieces.append(piece)
            pn.pn_transport_pop(self._transport, size)
        self._dispatch()
        return b"".join(pieces)

    def tick(self, now: int) -> int | None:
        """Note the time, for idle connections; give when to do so again."""
        deadline: int = pn.pn_transport_tick(self._transport, now)
        self._dispatch()
        return deadline or None

    def close(self, condition: Condition | None = None) -> None:
        """End the connection."""
        if condition is not None:
            _set_condition(pn.pn_connection_condition(self._connection), condition)
        pn.pn_connection_close(self._connection)
        self._closing = True

    def lost(self) -> None:
        """Let go of everything: the peer is gone."""
        for link in self.links:
            self._end(link)
        if self._transport is not None:
            pn.pn_transport_unbind(self._transport)
            pn.pn_connection_release(self._connection)
            pn.pn_collector_release(self._collector)
            pn.pn_decref(self._connection)
            pn.pn_collector_free(self._collector)
            pn.pn_decref(self._transport)
            self._transport = None

    def _dispatch(self) -> None:
        while (event := pn.pn_collector_peek(self._collector)) and not pn.isnull(event):
            kind = pn.pn_event_type(event)
            if kind == pn.PN_DELIVERY:
                self._on_delivery(pn.pn_event_delivery(event))
            elif kind == pn.PN_LINK_FLOW:
                self._on_flow(pn.pn_event_link(event))
            elif kind == pn.PN_LINK_REMOTE_OPEN:
                self._on_attach(pn.pn_event_link(event))
            elif kind in (pn.PN_LINK_REMOTE_CLOSE, pn.PN_LINK_REMOTE_DETACH):
                self._on_detach(pn.pn_event_link(event))
            else:
                self._on_endpoint(kind, event)
            pn.pn_collector_pop(self._collector)

    def _on_endpoint(self, kind: int, event: Any) -> None:  # noqa: ANN401 - a C pointer
        if kind == pn.PN_CONNECTION_REMOTE_OPEN:
            pn.pn_connection_open(self._connection)
        elif kind == pn.PN_SESSION_REMOTE_OPEN:
            pn.pn_session_open(pn.pn_event_session(event))
        elif kind == pn.PN_SESSION_REMOTE_CLOSE:
            session = pn.pn_event_session(event)
            key = pn.addressof(session)
            for link in self.links:
                if link.session_key == key:
                    self._end(link)
            pn.pn_session_close(session)
        elif kind == pn.PN_CONNECTION_REMOTE_CLOSE:
            self.close()
        elif kind in (pn.PN_TRANSPORT_ERROR, pn.PN_TRANSPORT_TAIL_CLOSED, pn.PN_TRANSPORT_CLOSED):
            self._closing = True

    def _on_attach(self, impl: Any) -> None:  # noqa: ANN401 - a C pointer
        link = Link(impl)
        self._links[pn.addressof(impl)] = link
        self._attach.on_attach(link)

    def _on_detach(self, impl: Any) -> None:  # noqa: ANN401 - a C pointer
        link = self._links.get(pn.addressof(impl))
        if link is not None:
            self._end(link)
            link.close()
            link.free()

    def _end(self, link: Link) -> None:
        self._links.pop(link._key, None)  # noqa: SLF001 - the engine owns its links
        if link.handler is not None:
            link.handler.on_closed()
            link.handler = None

    def _on_flow(self, impl: Any) -> None:  # noqa: ANN401 - a C pointer
        link = self._links.get(pn.addressof(impl))
        if link is not None and link.handler is not None:
            link.handler.on_flow()

    def _on_delivery(self, impl: Any) -> None:  # noqa: ANN401 - a C pointer
        link_impl = pn.pn_delivery_link(impl)
        link = self._links.get(pn.addressof(link_impl))
        if link is None or link.handler is None:
            return
        if link.is_sender:
            if pn.pn_delivery_updated(impl):
                link.handler.on_outcome(OutgoingDelivery(impl))
            return
        if pn.pn_delivery_aborted(impl):
            self._attach.take_format(link)
            self._oversized.discard(pn.addressof(impl))
            pn.pn_delivery_settle(impl)
        elif pn.pn_delivery_readable(impl):
            self._read(link, link_impl, impl)

    def _read(self, link: Link, link_impl: Any, impl: Any) -> None:  # noqa: ANN401 - C pointers
        size = pn.pn_delivery_pending(impl)
        key = pn.addressof(impl)
        partial = pn.pn_delivery_partial(impl)
        if size > self._most_bytes or key in self._oversized:
            self._oversized.add(key)  # what is too much is not kept while the rest of it comes
        elif partial:
            return
        _, content = pn.pn_link_recv(link_impl, size)
        if partial:
            return
        pn.pn_link_advance(link_impl)
        delivery = IncomingDelivery(impl, bytes(content), self._attach.take_format(link))
        if link.handler is None:
            return
        if key in self._oversized:
            self._oversized.discard(key)
            link.handler.on_too_large(delivery)
        else:
            link.handler.on_message(delivery)


class AttachHandler(Protocol):
    """Decides what a link that a peer attaches is for."""

    def on_attach(self, link: Link) -> None:
        """Open the link with a handler, or refuse it."""
        ...

    def take_format(self, link: Link) -> int:
        """Give the message format of the link's next delivery; asked once for each."""
        ...


def encode_value(value: object) -> bytes:
    """Encode a value that Proton decoded, in the type that it had."""
    data = Data()
    data.put_object(value)
    return bytes(data.encode())


def _mapping(impl: Any) -> dict[str, Any]:  # noqa: ANN401 - a C pointer
    if pn.isnull(impl):  # what was not sent has no data at all, and reading it would crash the process
        return {}
    data = Data(impl)
    data.rewind()
    if data.next() is None:
        return {}
    value = data.get_object()
    data.rewind()
    if not isinstance(value, dict):
        return {}
    return {str(key): _plain(item) for key, item in value.items()}


def _plain(value: object) -> object:
    if isinstance(value, Described):
        return _plain(value.value)
    return bytes(value) if isinstance(value, memoryview) else value  # a view of memory that Proton reuses


def _put(impl: Any, values: Mapping[str, Any]) -> None:  # noqa: ANN401 - a C pointer
    data = Data(impl)
    data.clear()
    data.put_object({symbol(key): value for key, value in values.items()})


def _set_condition(impl: Any, condition: Condition) -> None:  # noqa: ANN401 - a C pointer
    pn.pn_condition_set_name(impl, condition.name)
    pn.pn_condition_set_description(impl, condition.description)
    if condition.info:
        _put(pn.pn_condition_info(impl), condition.info)


def _read_condition(impl: Any) -> Condition | None:  # noqa: ANN401 - a C pointer
    if not pn.pn_condition_is_set(impl):
        return None
    return Condition(
        pn.pn_condition_get_name(impl) or "",
        pn.pn_condition_get_description(impl) or "",
        _mapping(pn.pn_condition_info(impl)),
    )


def _reject(impl: Any, condition: Condition) -> None:  # noqa: ANN401 - a C pointer
    _set_condition(pn.pn_disposition_condition(pn.pn_delivery_local(impl)), condition)
    pn.pn_delivery_update(impl, pn.PN_REJECTED)
    pn.pn_delivery_settle(impl)
