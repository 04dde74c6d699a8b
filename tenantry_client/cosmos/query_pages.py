"""Pages of one partition, of a range of partitions, or as the gateway answers for all."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import orjson

from tenantry_client.cosmos.answers import ResponseHeaders
from tenantry_client.cosmos.exceptions import CosmosHttpResponseError, DecodeError
from tenantry_client.cosmos.gateway import Request
from tenantry_client.cosmos.item_bodies import encode_body
from tenantry_client.cosmos.partition_key import KeyRange
from tenantry_client.cosmos.request_options import header_line

if TYPE_CHECKING:
    from tenantry_client.cosmos.answers import Answer
    from tenantry_client.cosmos.container_operations import ContainerState
    from tenantry_client.cosmos.request_options import Compiled
    from tenantry_client.cosmos.routing import PhysicalPartition

_QUERY_HEAD: Final = "content-type: application/query+json\r\nx-ms-documentdb-isquery: true\r\n"
_EVERYWHERE: Final = "x-ms-documentdb-query-enablecrosspartition: True\r\n"
_GONE: Final = 410
_MOST_SPLITS: Final = 5


class FeedPage(NamedTuple):
    """Results that came together.

    Attributes:
        results: The results.
        continuation: Where the next page begins; None after the last one, or where it cannot be told.
        headers: Of the answer.
        is_last: Whether there is no next page.
    """

    results: list[Any]
    continuation: str | None
    headers: ResponseHeaders
    is_last: bool


class PageSource(Protocol):
    """Pages, one after the other."""

    async def next(self) -> FeedPage:
        """Fetch a page; it may be empty without being the last one."""
        ...


def documents_of(answer: Answer) -> list[Any]:
    """Return the results that an answer has.

    Raises:
        DecodeError: It has none, not even an empty list: it is no answer to such a question.
    """
    body = answer.json()
    found = body.get("Documents") if isinstance(body, dict) else None
    if not isinstance(found, list):
        raise DecodeError("an answer without the list of results that was asked for")
    return found


class FeedQuestion:
    """A question to a container that is answered page by page.

    Args:
        state: The container.
        compiled: The keywords.
        text: The query; None lists all items.
        parameters: Its parameters.
    """

    def __init__(
        self, state: ContainerState, compiled: Compiled, text: str | None, parameters: object = None
    ) -> None:
        self.state = state
        self.compiled = compiled
        self.text = text
        self.parameters = parameters

    def with_text(self, text: str) -> FeedQuestion:
        """Return the question with another query, and the same parameters."""
        return FeedQuestion(self.state, self.compiled, text, self.parameters)

    @property
    def body(self) -> bytes | None:
        """The query as it is sent."""
        if self.text is None:
            return None
        body: dict[str, Any] = {"query": self.text}
        if self.parameters is not None:
            body["parameters"] = self.parameters
        return encode_body(body)

    async def ask(self, where: str, key_header: str | None, continuation: str | None) -> FeedPage:
        """Fetch one page.

        Args:
            where: Lines of headers that name the partitions.
            key_header: The one partition, for the session.
            continuation: Where the page begins.
        """
        session = await self.state.session_line(key_header, self.compiled)
        return await self.send(where + session, continuation)

    async def send(self, head: str, continuation: str | None) -> FeedPage:
        """Fetch one page, with all the headers that name where from."""
        state, body = self.state, self.body
        rest = "" if continuation is None else header_line("x-ms-continuation", continuation)
        request = Request(
            "GET" if body is None else "POST",
            state.docs_path,
            "docs",
            state.link,
            f"{'' if body is None else _QUERY_HEAD}{head}{rest}",
            body,
            self.compiled,
            reads=True,
        )
        answer = await state.send(request)
        found = documents_of(answer)
        headers = answer.headers
        if self.compiled.hook is not None:
            self.compiled.hook(headers, answer.json())
        token = answer.raw_headers.get(b"x-ms-continuation")
        after = token.decode("latin-1") if token else None
        return FeedPage(found, after, headers, after is None)


class DirectPages:
    """Pages that the service carries on by itself: of one partition, or of all where that needs no merging.

    Args:
        question: The question.
        key_header: The partition; None for all.
        continuation: Where to begin.
    """

    def __init__(self, question: FeedQuestion, key_header: str | None, continuation: str | None) -> None:
        self._question = question
        self._key_header = key_header
        self._where = _EVERYWHERE if key_header is None else f"x-ms-documentdb-partitionkey: {key_header}\r\n"
        self._continuation = continuation

    async def next(self) -> FeedPage:
        """Fetch a page."""
        page = await self._question.ask(self._where, self._key_header, self._continuation)
        self._continuation = page.continuation
        return page


class PartitionSplitError(Exception):
    """A range that was one physical partition's lies in several now.

    Attributes:
        parts: The range of each, with the token to go on with.
    """

    def __init__(self, parts: list[tuple[KeyRange, str | None]]) -> None:
        super().__init__(f"one physical partition became {len(parts)}")
        self.parts = parts


class RangePages:
    """Pages of one physical partition after another, each in its own order.

    A partition that is split meanwhile is gone on with in its parts, one after another.

    Args:
        question: The question.
        scope: The effective keys that are asked about.
        continuation: Where to begin.
    """

    def __init__(self, question: FeedQuestion, scope: KeyRange, continuation: str | None = None) -> None:
        self._question = question
        self._scope = scope
        self._given = continuation
        self._left: list[tuple[KeyRange, str | None]] | None = None
        self._is_one = False
        self._tells_of_splits = False

    @classmethod
    def of_part(cls, question: FeedQuestion, scope: KeyRange, token: str | None) -> RangePages:
        """Return pages of one physical partition alone: a split is a `PartitionSplitError`."""
        pages = cls(question, scope)
        pages._left, pages._is_one, pages._tells_of_splits = [(scope, token)], True, True
        return pages

    async def next(self) -> FeedPage:
        """Fetch a page."""
        left = self._left
        if left is None:
            left = self._left = await self._begin()
        if not left:
            return FeedPage([], None, ResponseHeaders(), is_last=True)
        page = await self._fetch(left)
        return self._told(page, left)

    async def _begin(self) -> list[tuple[KeyRange, str | None]]:
        routing = await self._question.state.routing(self._question.compiled.end)
        partitions = routing.within(self._scope)
        self._is_one = len(partitions) == 1
        if self._given is None:
            return [(_cut(self._scope, partition), None) for partition in partitions]
        left = await self._unpack(self._given)
        if left is None and self._is_one:
            return [(self._scope, self._given)]
        if left is None:
            raise ValueError("the continuation token belongs to another query, or to another client")
        return left

    async def _fetch(self, left: list[tuple[KeyRange, str | None]]) -> FeedPage:
        for attempt in range(_MOST_SPLITS + 1):
            routing = await self._question.state.routing(self._question.compiled.end)
            wanted, token = left[0]
            partitions = routing.within(wanted)
            if len(partitions) > 1:
                parts = [(_cut(wanted, partition), token) for partition in partitions]
                if self._tells_of_splits:
                    raise PartitionSplitError(parts)
                left[:1] = parts
                wanted, token = left[0]
            try:
                page = await self._ask(partitions[0], wanted, token)
            except CosmosHttpResponseError as error:
                if error.status_code != _GONE or attempt == _MOST_SPLITS:
                    raise
                self._question.state.forget_routing()
                continue
            if page.continuation is None:
                left.pop(0)
            else:
                left[0] = (wanted, page.continuation)
            return page
        raise AssertionError("the last attempt has returned or raised")

    async def _ask(self, partition: PhysicalPartition, wanted: KeyRange, token: str | None) -> FeedPage:
        state, compiled = self._question.state, self._question.compiled
        where = f"x-ms-documentdb-partitionkeyrangeid: {partition.id}\r\n"
        if wanted != partition.range and wanted.low != wanted.high:  # one key is the query's own condition
            where += (
                "x-ms-read-key-type: EffectivePartitionKeyRange\r\n"
                f"x-ms-start-epk: {wanted.low}\r\nx-ms-end-epk: {wanted.high}\r\n"
            )
        known = state.tokens.of(partition.ids) if compiled.session_token is None else None
        if compiled.session_token is not None:
            where += header_line("x-ms-session-token", compiled.session_token)
        elif known is not None and state.gateway.is_session:
            where += f"x-ms-session-token: {known}\r\n"
        return await self._question.send(where, token)

    def _told(self, page: FeedPage, left: list[tuple[KeyRange, str | None]]) -> FeedPage:
        if not left:
            return page._replace(continuation=None, is_last=True)
        token = left[0][1] if self._is_one and len(left) == 1 else self._pack(left)
        if token is not None:
            page.headers["x-ms-continuation"] = token
        return page._replace(continuation=token, is_last=False)

    def _identity(self, rid: str) -> str:
        scope = f"{self._scope.low}-{self._scope.high}"
        body = self._question.body or b""
        return hashlib.sha256(b"\0".join((rid.encode(), body, scope.encode()))).hexdigest()[:16]

    def _pack(self, left: list[tuple[KeyRange, str | None]]) -> str:
        facts = self._question.state.known_facts
        rid = "" if facts is None else facts.rid
        parts = [self._identity(rid), [[part.low, part.high, token] for part, token in left]]
        return base64.urlsafe_b64encode(orjson.dumps(parts)).decode()

    async def _unpack(self, token: str) -> list[tuple[KeyRange, str | None]] | None:
        facts = await self._question.state.facts(self._question.compiled.end)
        try:
            identity, parts = orjson.loads(base64.urlsafe_b64decode(token))
            left = [(KeyRange(str(low), str(high)), after) for low, high, after in parts]
        except (binascii.Error, ValueError, TypeError):
            return None
        return left if identity == self._identity(facts.rid) else None


def _cut(wanted: KeyRange, partition: PhysicalPartition) -> KeyRange:
    """Return what a partition has of a range; of a single key, all."""
    if wanted.low == wanted.high:
        return wanted
    return KeyRange(max(wanted.low, partition.range.low), min(wanted.high, partition.range.high))
