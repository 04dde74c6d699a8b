"""Many items at once: one request for each physical partition that has some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tenantry_client.cosmos.answers import CosmosList, ResponseHeaders
from tenantry_client.cosmos.exceptions import CosmosResourceNotFoundError
from tenantry_client.cosmos.query_pages import DirectPages, FeedQuestion, RangePages

if TYPE_CHECKING:
    from tenantry_client.cosmos.container_operations import ContainerOperations, ContainerState
    from tenantry_client.cosmos.partition_key import KeyDefinition, PartitionKeyType
    from tenantry_client.cosmos.query_pages import PageSource
    from tenantry_client.cosmos.routing import PhysicalPartition

_MOST_AT_ONCE: Final = 1000

type _Wanted = list[tuple[str, PartitionKeyType]]


class ItemReader:
    """Reads items by their ids and keys.

    Args:
        state: The container.
        operations: Reads one alone.
        options: The caller's keywords.
    """

    def __init__(
        self, state: ContainerState, operations: ContainerOperations, options: Mapping[str, Any]
    ) -> None:
        self._state = state
        self._operations = operations
        self._options = {name: value for name, value in options.items() if name != "response_hook"}
        self._hook = options.get("response_hook")
        self._charge = 0.0

    async def read(self, items: Sequence[tuple[str, PartitionKeyType]]) -> CosmosList:
        """Return those that there are, in the order in which they are named."""
        if not items:
            return CosmosList([], ResponseHeaders())
        found: dict[tuple[str, str], dict[str, Any]] = {}
        facts = await self._state.facts()
        definition = facts.definition
        for partition, wanted in (await self._placed(definition, items)).items():
            for at in range(0, len(wanted), _MOST_AT_ONCE):
                for item in await self._some(definition, partition, wanted[at : at + _MOST_AT_ONCE]):
                    found[item["id"], definition.header_of_item(item)] = item
        names = [(item_id, _header(definition, key)) for item_id, key in items]
        headers = ResponseHeaders()
        headers["x-ms-request-charge"] = str(self._charge)
        result = CosmosList([found[name] for name in names if name in found], headers)
        if self._hook is not None:
            self._hook(headers, result)
        return result

    async def _placed(
        self, definition: KeyDefinition, items: Sequence[tuple[str, PartitionKeyType]]
    ) -> dict[PhysicalPartition, _Wanted]:
        routing = await self._state.routing()
        placed: dict[PhysicalPartition, _Wanted] = {}
        for item_id, key in items:
            partition = routing.of_header(definition, _header(definition, key))
            placed.setdefault(partition, []).append((item_id, key))
        return placed

    async def _some(
        self, definition: KeyDefinition, partition: PhysicalPartition, wanted: _Wanted
    ) -> list[dict[str, Any]]:
        if len(wanted) == 1:
            return await self._one(*wanted[0])
        keys = {_header(definition, key) for _, key in wanted}
        if len(keys) == 1:
            ids = {f"@id{number}": item_id for number, (item_id, _) in enumerate(wanted)}
            text = f"SELECT * FROM c WHERE c.id IN ({', '.join(ids)})"  # noqa: S608 - values are parameters
            question = self._question(text, ids)
            return await self._all(DirectPages(question, keys.pop(), None))
        conditions: list[str] = []
        values: dict[str, object] = {}
        for number, (item_id, key) in enumerate(wanted):
            parts = key if isinstance(key, Sequence) and not isinstance(key, str) else (key,)
            values[f"@id{number}"] = item_id
            terms = [f"c.id = @id{number}"]
            for level, (path, part) in enumerate(zip(definition.paths, parts, strict=False)):
                field = "c" + "".join(f"[{_quoted(name)}]" for name in path)
                if isinstance(part, type):  # a class stands for a key that an item does not have
                    terms.append(f"NOT IS_DEFINED({field})")
                else:
                    values[f"@k{number}_{level}"] = part
                    terms.append(f"{field} = @k{number}_{level}")
            conditions.append(f"({' AND '.join(terms)})")
        text = f"SELECT * FROM c WHERE {' OR '.join(conditions)}"  # noqa: S608 - values are parameters
        question = self._question(text, values)
        return await self._all(RangePages(question, partition.range))

    async def _one(self, item_id: str, key: PartitionKeyType) -> list[dict[str, Any]]:
        try:
            item = await self._operations.read(item_id, key, self._options)
        except CosmosResourceNotFoundError as error:
            self._count(error.headers)
            return []
        self._count(item.get_response_headers())
        return [item]

    async def _all(self, pages: PageSource) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = await pages.next()
            self._count(page.headers)
            found += page.results
            if page.is_last:
                return found

    def _question(self, text: str, values: Mapping[str, object]) -> FeedQuestion:
        parameters = [{"name": name, "value": value} for name, value in values.items()]
        compiled = self._state.compiler.of_read(self._options)
        return FeedQuestion(self._state, compiled, text, parameters)

    def _count(self, headers: Mapping[str, str]) -> None:
        self._charge += float(headers.get("x-ms-request-charge", 0))


def _header(definition: KeyDefinition, key: PartitionKeyType) -> str:
    return definition.header_of(key)


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
