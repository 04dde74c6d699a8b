"""One client's connection: SASL first, then the links, each given to what it is for."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Final

from local.servicebus.engine.errors import BrokerError, NotAllowedError, NotSupportedError
from local.servicebus.wire import message
from local.servicebus.wire.codec import MalformedError
from local.servicebus.wire.formats import TransferFormats
from local.servicebus.wire.links import IncomingLink, OutgoingLink, SessionSearch, session_wanted
from local.servicebus.wire.management import Requests
from local.servicebus.wire.node import condition_of
from local.servicebus.wire.outgoing import OutgoingFrames, write_close
from local.servicebus.wire.protocol import Condition, LinkHandler, ProtocolEngine
from local.servicebus.wire.sasl import SaslError, SaslServer
from local.servicebus.wire.tokens import CBS_ADDRESS, answer_put_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.servicebus.wire.node import Node
    from local.servicebus.wire.protocol import IncomingDelivery, Link

_MANAGEMENT_SUFFIX: Final = "/$management"
_REQUEST_CREDIT: Final = 100
_serial = itertools.count(1)


class UnauthorizedError(BrokerError):
    """The client proved nothing to `$cbs` before it attached."""

    condition = "amqp:unauthorized-access"
    status = 401


class Connection:
    """The broker's end of a connection, without I/O: bytes in by `feed`, out by `output`."""

    def __init__(self, node: Node, log: Callable[[str], None]) -> None:
        self._node = node
        self._log = log
        self._number = next(_serial)
        self._sasl = SaslServer()
        self._formats = TransferFormats()
        self._outgoing = OutgoingFrames(self._formats.ids)
        self._engine = ProtocolEngine(node.container, node.max_message_size, self)
        self._out = b""
        self._refused = False
        self._authorized = False
        self.dropped = False
        """To be cut off without another byte: a fault on demand."""
        self._responses: dict[tuple[int, str], list[_ResponseLink]] = {}

    @property
    def finished(self) -> bool:
        """Whether nothing more is to be sent or received."""
        return self.dropped or self._refused or self._engine.finished

    def feed(self, data: bytes) -> None:
        """Take received bytes, and do what they ask for."""
        if self.finished:
            return
        if not self._sasl.done:
            try:
                answer, data = self._sasl.feed(data)
            except SaslError as error:
                self._log(str(error))
                self._out += error.answer
                self._refused = True
                return
            self._out += answer
        if data:
            self._engine.feed(self._formats.feed(data))

    def output(self) -> bytes:
        """Give the bytes that are to be sent; all that they tell must be committed by now."""
        if self.dropped:
            return b""
        out, self._out = self._out, b""
        return out + self._outgoing.translate(self._engine.output()) if self._sasl.done else out

    def fail(self, reason: str) -> bytes:
        """Give what ends the connection at once, and nothing of what had still to be said."""
        self.dropped = True
        return write_close("amqp:internal-error", reason) if self._outgoing.begun else b""

    def tick(self) -> int | None:
        """Note the time, for idle connections; give when to do so again."""
        return self._engine.tick(self._node.clock()) if self._sasl.done else None

    def close(self) -> None:
        """End the connection because the endpoint stops."""
        self._engine.close(Condition("amqp:connection:forced", "The endpoint stops."))

    def lost(self) -> None:
        """Let go of everything: the client is gone."""
        self._engine.lost()

    # --- links ---

    def on_attach(self, link: Link) -> None:
        """Open a link for what its address names, or refuse it."""
        try:
            self._route(link, _path(link.address))
        except BrokerError as error:
            link.refuse(condition_of(error))

    def take_format(self, link: Link) -> int:
        """Give the message format of the link's next delivery."""
        return self._formats.take(link.name)

    def _route(self, link: Link, path: str) -> None:
        if link.is_coordinator:
            raise NotSupportedError("Transactions are not supported here.")
        if path.lower() == CBS_ADDRESS:
            self._attach_node(link, path.lower(), self._put_token)
            return
        if not self._authorized:
            raise UnauthorizedError(f"Unauthorized access. No token was put to $cbs for '{path}'.")
        if path.lower().endswith(_MANAGEMENT_SUFFIX):
            queue = self._node.broker.queue(path[: -len(_MANAGEMENT_SUFFIX)])
            requests = Requests(queue, self._owner, self._node.max_message_size)
            self._attach_node(link, path.lower(), requests.answer)
        elif link.is_sender:
            self._attach_receiver(link, path)
        else:
            incoming = IncomingLink(self._node, link, self._node.broker.queue(path), self._drop)
            link.handler = incoming
            incoming.open()

    def _attach_receiver(self, link: Link, path: str) -> None:
        queue = self._node.broker.queue(path)
        wants_session, session_id = session_wanted(link)
        if queue.spec.requires_session and not wants_session:
            raise NotAllowedError(
                f"It is not possible for an entity that requires sessions to create a non-sessionful message "
                f"receiver. Entity: '{path}'."
            )
        if wants_session and not queue.spec.requires_session:
            raise NotAllowedError(
                f"A sessionful message receiver cannot be created on an entity that does not require "
                f"sessions. Entity: '{path}'."
            )
        owner = self._owner(link.name)
        if wants_session and session_id is None:
            SessionSearch(self._node, link, queue, owner)
            return
        grant = queue.accept_session(owner, session_id) if wants_session else None
        OutgoingLink(self._node, link, queue, owner).open(grant)

    def _attach_node(self, link: Link, address: str, answer: Callable[[message.Request], bytes]) -> None:
        key = (link.session_key, address)
        if link.is_sender:
            response = _ResponseLink(link, self._responses.setdefault(key, []).remove)
            self._responses.setdefault(key, []).append(response)
            link.handler = response
            link.open()
        else:
            link.handler = _RequestLink(link, answer, partial(self._response_link, key))
            link.open()
            link.grant(_REQUEST_CREDIT)

    def _response_link(self, key: tuple[int, str], reply_to: str | None) -> _ResponseLink | None:
        links = self._responses.get(key) or []
        return next((link for link in links if link.target == reply_to), links[-1] if links else None)

    def _put_token(self, request: message.Request) -> bytes:
        holds, reply = answer_put_token(request, self._node.token_check)
        self._authorized = self._authorized or holds
        return reply

    def _owner(self, link_name: str) -> str:
        return f"{self._number}/{link_name}"

    def _drop(self) -> None:
        self.dropped = True


class _ResponseLink(LinkHandler):
    """A link on which the answers of a node go out."""

    def __init__(self, link: Link, on_gone: Callable[[_ResponseLink], None]) -> None:
        self._link = link
        self._on_gone = on_gone
        self._sent = 0
        self.target = link.remote_target

    def send(self, content: bytes) -> None:
        self._sent += 1
        self._link.send(self._sent.to_bytes(4), content, settled=True)

    def on_flow(self) -> None:
        if self._link.draining:
            self._link.give_credit_back()

    def on_closed(self) -> None:
        self._on_gone(self)


class _RequestLink(LinkHandler):
    """A link on which the requests to a node come in."""

    def __init__(
        self,
        link: Link,
        answer: Callable[[message.Request], bytes],
        response_link: Callable[[str | None], _ResponseLink | None],
    ) -> None:
        self._link = link
        self._answer = answer
        self._response_link = response_link

    def on_message(self, delivery: IncomingDelivery) -> None:
        self._link.grant(1)
        try:
            request = message.parse_request(delivery.content)
        except MalformedError as error:
            delivery.reject(Condition("amqp:decode-error", str(error), {"bytes": len(delivery.content)}))
            return
        response = self._response_link(request.reply_to)
        if response is None:
            delivery.reject(
                Condition(
                    "amqp:not-allowed",
                    "There is no link in this session to answer on.",
                    {"node": self._link.address},
                )
            )
            return
        delivery.accept()
        response.send(self._answer(request))

    def on_too_large(self, delivery: IncomingDelivery) -> None:
        self._link.grant(1)
        delivery.reject(
            Condition("amqp:link:message-size-exceeded", "The request is too large.", {"bytes": 0})
        )


def _path(address: str) -> str:
    """Give the entity's path: addresses come bare, or as amqp(s)://host/path even without TLS."""
    _, scheme, rest = address.partition("://")
    return rest.partition("/")[2] if scheme else address.lstrip("/")
