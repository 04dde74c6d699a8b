"""Operations on one container, as coroutines over whichever transport."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tenantry_client.cosmos.answers import FIRST_FAILURE, Answer, CosmosDict, CosmosList, error_of
from tenantry_client.cosmos.exceptions import DecodeError
from tenantry_client.cosmos.gateway import Request
from tenantry_client.cosmos.item_batches import BATCH_HEAD, check_batch, render_batch
from tenantry_client.cosmos.item_bodies import check_item, encode_body, encode_id
from tenantry_client.cosmos.partition_key import KeyDefinition
from tenantry_client.cosmos.request_options import header_line
from tenantry_client.cosmos.routing import RoutingMap
from tenantry_client.cosmos.session_tokens import SessionTokens

if TYPE_CHECKING:
    from tenantry_client.cosmos.gateway import Gateway
    from tenantry_client.cosmos.item_batches import BatchStep
    from tenantry_client.cosmos.partition_key import PartitionKeyType
    from tenantry_client.cosmos.request_options import Compiled, OptionCompiler

_JSON: Final = "content-type: application/json\r\n"
_PATCH: Final = "content-type: application/json-patch+json\r\n"
_UPSERT: Final = f"{_JSON}x-ms-documentdb-is-upsert: True\r\n"
_KEY: Final = "x-ms-documentdb-partitionkey"
_BAD_REQUEST: Final = 400
_MADE_ANEW: Final = 1024
_NOT_CHANGED: Final = 304
_GONE: Final = 410
_WITH_TOKENS: Final = frozenset({None, "Session"})

type Item = str | Mapping[str, Any]


class ContainerFacts:
    """A container's properties that requests need.

    Attributes:
        rid: Its resource id: another one once it was made anew.
        head: The header that says which container is meant.
        definition: Its partition key.
        properties: All of them, as the service answered.
    """

    __slots__ = ("definition", "head", "properties", "rid")

    def __init__(self, properties: Mapping[str, Any]) -> None:
        try:
            self.rid = str(properties["_rid"])
            self.definition = KeyDefinition.parse(properties["partitionKey"])
        except (KeyError, TypeError, ValueError) as error:
            raise DecodeError(f"no description of a container: {error!r}", error=error) from error
        self.head = header_line("x-ms-cosmos-intended-collection-rid", self.rid)
        self.properties = properties


class ContainerState:
    """A container as this client knows it, shared by all who use it.

    Args:
        gateway: The account.
        compiler: Knows the client's defaults.
        database_id: The database.
        container_id: The container.
    """

    def __init__(
        self, gateway: Gateway, compiler: OptionCompiler, database_id: str, container_id: str
    ) -> None:
        self.gateway = gateway
        self.compiler = compiler
        self.link = f"dbs/{database_id}/colls/{container_id}"
        self.path = f"/dbs/{encode_id(database_id)}/colls/{encode_id(container_id)}"
        self.docs_path = f"{self.path}/docs"
        self.tokens = SessionTokens()
        self.known_facts: ContainerFacts | None = None
        self._routing: RoutingMap | None = None
        self._lock = gateway.transport.new_lock()

    async def facts(self, end: float | None = None) -> ContainerFacts:
        """Return what is known of the container; it is asked for once.

        Args:
            end: When that has to be done, by the monotonic clock; None for whenever.
        """
        facts = self.known_facts
        if facts is None:
            async with self._lock.held(end):
                facts = self.known_facts
                if facts is None:
                    facts, _ = await self._look_up(self.compiler.of_lookup(end))
        return facts

    async def read_properties(self, options: Compiled, head: str = "") -> CosmosDict:
        """Ask for the container's properties."""
        _, properties = await self._look_up(options, head)
        return properties

    async def _look_up(self, options: Compiled, head: str = "") -> tuple[ContainerFacts, CosmosDict]:
        request = Request("GET", self.path, "colls", self.link, head, None, options, reads=True)
        answer = await self.gateway.send(request)
        if answer.status >= FIRST_FAILURE:
            raise error_of(answer)
        properties = CosmosDict(answer.json(), answer)
        facts = ContainerFacts(properties)
        known = self.known_facts
        if known is not None and known.rid != facts.rid:
            self.forget()
        self.known_facts = facts
        return facts, properties

    async def routing(self, end: float | None = None, *, anew: bool = False) -> RoutingMap:
        """Return the physical partitions; they are asked for once, and after a split.

        Args:
            end: When that has to be done, by the monotonic clock; None for whenever.
            anew: Whether to ask in any case.
        """
        before = routing = self._routing
        if routing is None or anew:
            async with self._lock.held(end):
                routing = self._routing
                if routing is None or routing is before:
                    routing = self._routing = await self._read_routing(end)
        return routing

    async def _read_routing(self, end: float | None) -> RoutingMap:
        listed: list[Mapping[str, Any]] = []
        continuation = ""
        while True:
            request = Request(
                *("GET", f"{self.path}/pkranges", "pkranges", self.link),
                continuation,
                None,
                self.compiler.of_lookup(end),
                reads=True,
            )
            answer = await self.gateway.send(request)
            if answer.status >= FIRST_FAILURE:
                raise error_of(answer)
            listed += (answer.json() or {}).get("PartitionKeyRanges") or []
            token = answer.raw_headers.get(b"x-ms-continuation")
            if token is None:
                break
            continuation = f"x-ms-continuation: {token.decode('latin-1')}\r\n"
        if not listed:
            raise DecodeError("the service told of no physical partition")
        return RoutingMap(listed)

    def forget(self) -> None:
        """Know nothing of the container any more."""
        self.known_facts = self._routing = None
        self.tokens.forget()

    def forget_routing(self) -> None:
        """Ask for the physical partitions anew when they are needed."""
        self._routing = None

    async def session_line(self, key_header: str | None, options: Compiled) -> str:
        """Return the header with the state that an answer has to be at least as new as, if there is one."""
        if options.session_token is not None:
            return header_line("x-ms-session-token", options.session_token)
        if not self.tokens or not self.gateway.is_session or options.consistency not in _WITH_TOKENS:
            return ""
        if key_header is None:
            return f"x-ms-session-token: {self.tokens.all()}\r\n"
        routing = self._routing or await self.routing(options.end)
        facts = self.known_facts or await self.facts(options.end)
        token = self.tokens.of(routing.of_header(facts.definition, key_header).ids)
        return "" if token is None else f"x-ms-session-token: {token}\r\n"

    def learn(self, answer: Answer) -> None:
        """Take in how far the partition has come that has answered."""
        token = answer.raw_headers.get(b"x-ms-session-token")
        if token is None or not self.gateway.is_session:
            return
        self.tokens.learn(token)
        answering = answer.raw_headers.get(b"x-ms-documentdb-partitionkeyrangeid")
        routing = self._routing
        if routing is not None and answering is not None and answering.decode("latin-1") not in routing.ids:
            self._routing = None  # it has been split

    async def send(self, request: Request, answered: Sequence[int] = ()) -> Answer:
        """Send a request whose head lacks what names the container; return an answer that is no failure.

        A container that was made anew is looked up anew, and asked once more.

        Args:
            request: The request.
            answered: Failures that are returned all the same.
        """
        head = request.head
        for last in (False, True):
            facts = self.known_facts or await self.facts(request.options.end)
            request.head = facts.head + head
            answer = await self.gateway.send(request)
            if answer.status < FIRST_FAILURE or answer.status in answered:
                self.learn(answer)
                return answer
            if answer.status == _BAD_REQUEST and answer.sub_status == _MADE_ANEW and not last:
                self.forget()
                continue
            if answer.status == _GONE:
                self._routing = None
            break
        raise error_of(answer)


class ContainerOperations:
    """The operations on items that are answered once.

    Args:
        state: The container.
    """

    def __init__(self, state: ContainerState) -> None:
        self._state = state
        self._docs_link = f"{state.link}/docs/"
        self._item_path = f"{state.docs_path}/"

    async def create(self, body: Mapping[str, Any], options: Mapping[str, Any]) -> CosmosDict:
        """Store a new item."""
        given = dict(options)
        if given.pop("enable_automatic_id_generation", False) and not body.get("id"):
            body = {**body, "id": str(uuid.uuid4())}
        for condition in ("etag", "match_condition"):
            given.pop(condition, None)
        return await self._post(body, _JSON, self._state.compiler.of_write(given))

    async def upsert(self, body: Mapping[str, Any], options: Mapping[str, Any]) -> CosmosDict:
        """Store an item, whether or not one of its id is there."""
        return await self._post(body, _UPSERT, self._state.compiler.of_write(options))

    async def read(
        self, item: Item, partition_key: PartitionKeyType, options: Mapping[str, Any]
    ) -> CosmosDict:
        """Return an item; an empty one where the caller's condition says that it has it already.

        Raises:
            DecodeError: The answer has none.
        """
        state = self._state
        compiled = state.compiler.of_read(options)
        item_id = item if isinstance(item, str) else item["id"]
        facts = state.known_facts or await state.facts(compiled.end)
        key = facts.definition.header_of(partition_key)
        session = await state.session_line(key, compiled)
        request = Request(
            "GET",
            self._item_path + encode_id(item_id),
            "docs",
            self._docs_link + item_id,
            f"{_KEY}: {key}\r\n{session}",
            None,
            compiled,
            reads=True,
        )
        answer = await state.send(request)
        if not answer.body and answer.status != _NOT_CHANGED:
            raise DecodeError("an answer without the item that was asked for")
        return self._as_dict(answer, compiled)

    async def replace(self, item: Item, body: Mapping[str, Any], options: Mapping[str, Any]) -> CosmosDict:
        """Replace an item."""
        check_item(body)
        compiled = self._state.compiler.of_write(options)
        facts = await self._state.facts(compiled.end)
        key = facts.definition.header_of_item(body)
        return self._as_dict(
            await self._on_item("PUT", item, key, (_JSON, encode_body(body)), compiled), compiled
        )

    async def patch(
        self,
        item: Item,
        partition_key: PartitionKeyType,
        operations: Sequence[Mapping[str, Any]],
        options: Mapping[str, Any],
    ) -> CosmosDict:
        """Change an item where it stands."""
        given = dict(options)
        condition = given.pop("filter_predicate", None)
        body: dict[str, Any] = {"condition": condition} if condition else {}
        body["operations"] = operations
        compiled = self._state.compiler.of_patch(given)
        facts = await self._state.facts(compiled.end)
        key = facts.definition.header_of(partition_key)
        return self._as_dict(
            await self._on_item("PATCH", item, key, (_PATCH, encode_body(body)), compiled), compiled
        )

    async def delete(self, item: Item, partition_key: PartitionKeyType, options: Mapping[str, Any]) -> None:
        """Remove an item."""
        compiled = self._state.compiler.of_write(options)
        facts = await self._state.facts(compiled.end)
        key = facts.definition.header_of(partition_key)
        answer = await self._on_item("DELETE", item, key, ("", None), compiled)
        if compiled.hook is not None:
            compiled.hook(answer.headers, None)

    async def delete_partition(self, partition_key: PartitionKeyType, options: Mapping[str, Any]) -> None:
        """Remove all items of a partition; the service goes on with that after it has answered."""
        state = self._state
        compiled = state.compiler.of_write(options)
        facts = await state.facts(compiled.end)
        request = Request(
            *("POST", f"{state.path}/operations/partitionkeydelete", "colls", state.link),
            f"{_KEY}: {facts.definition.header_of(partition_key)}\r\n{_JSON}",
            None,
            compiled,
            reads=False,
        )
        answer = await state.send(request)
        if compiled.hook is not None:
            compiled.hook(answer.headers, None)

    async def batch(
        self, steps: Sequence[BatchStep], partition_key: PartitionKeyType, options: Mapping[str, Any]
    ) -> CosmosList:
        """Do all of the operations or none; return the answer of each.

        Raises:
            DecodeError: The answer has fewer, or more.
        """
        state = self._state
        body = encode_body(render_batch(steps))
        compiled = state.compiler.of_write(options)
        facts = await state.facts(compiled.end)
        key = facts.definition.header_of(partition_key)
        session = await state.session_line(key, compiled)
        request = Request(
            *("POST", state.docs_path, "docs", state.link),
            f"{_KEY}: {key}\r\n{BATCH_HEAD}{session}",
            body,
            compiled,
            reads=False,
        )
        answer = await state.send(request)
        results: list[dict[str, Any]] = answer.json() or []
        if len(results) != len(steps):
            raise DecodeError(f"a batch of {len(steps)} operations was answered with {len(results)} results")
        headers = answer.headers
        check_batch(results, headers)
        if compiled.hook is not None:
            compiled.hook(headers, results)
        return CosmosList(results, headers)

    async def _post(self, body: Mapping[str, Any], head: str, compiled: Compiled) -> CosmosDict:
        check_item(body)
        state = self._state
        facts = state.known_facts or await state.facts(compiled.end)
        key = facts.definition.header_of_item(body)
        request = Request(
            "POST",
            state.docs_path,
            "docs",
            state.link,
            f"{_KEY}: {key}\r\n{head}",
            encode_body(body),
            compiled,
            reads=False,
        )
        return self._as_dict(await state.send(request), compiled)

    async def _on_item(
        self, method: str, item: Item, key: str, content: tuple[str, bytes | None], compiled: Compiled
    ) -> Answer:
        item_id = item if isinstance(item, str) else item["id"]
        request = Request(
            method,
            self._item_path + encode_id(item_id),
            "docs",
            self._docs_link + item_id,
            f"{_KEY}: {key}\r\n{content[0]}",
            content[1],
            compiled,
            reads=False,
        )
        return await self._state.send(request)

    @staticmethod
    def _as_dict(answer: Answer, compiled: Compiled) -> CosmosDict:
        result = CosmosDict(None if answer.status == _NOT_CHANGED else answer.json(), answer)
        if compiled.hook is not None:
            compiled.hook(answer.headers, result)
        return result
