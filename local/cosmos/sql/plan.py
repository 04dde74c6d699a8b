"""Query plans: what each physical partition is to be asked, and what the client makes of the answers.

The forms are those of the service, as its .NET SDK has recorded them in `QueryPlanBaselineTests.*.xml`
(https://github.com/Azure/azure-cosmos-dotnet-v3, Microsoft.Azure.Cosmos.Tests/BaselineTest/TestBaseline).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from local.cosmos.errors import bad_request
from local.cosmos.sql import tree
from local.cosmos.sql.compiler import contains_aggregate, item_names
from local.cosmos.sql.text import write_expression, write_query

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from local.cosmos.sql.query import Query
    from local.cosmos.values import Json, JsonObject, Value

_OPERATORS: Final = {
    "AVG": "Average",
    "COUNT": "Count",
    "COUNTIF": "CountIf",
    "MAX": "Max",
    "MIN": "Min",
    "SUM": "Sum",
}
_FILTER: Final = "{documentdb-formattableorderbyquery-filter}"
_PLACE_OF_FILTER: Final = "\0"
"""What stands for the filter in a tree; no text that is written can have it in it."""
_COMPOSITION: Final = "Compositions of aggregates and other expressions are not allowed."
_ZERO: Final = tree.Constant(0)


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A plan; `features` are those that a client needs to carry it out."""

    info: JsonObject
    features: frozenset[str]

    def check_features(self, supported: Collection[str]) -> None:
        """Refuse a client that could not carry the plan out.

        Raises:
            CosmosError: 400 that names what the client lacks.
        """
        missing = sorted(self.features - set(supported))
        if missing:
            lines = [f"Query contained {one}, which the calling client does not support." for one in missing]
            raise bad_request(
                "Query contains 1 or more unsupported features. Upgrade your SDK to a version that does "
                "support the requested features:\n" + "\n".join(lines)
            )


def needs_merging(query: Query) -> bool:
    """Tell whether the answers of several partitions, one after the other, are not the answer."""
    node = query.node
    return query.ordered_scan or node.top is not None or node.limit is not None


def plan_query(query: Query, parameters: Mapping[str, Value], *, in_one_partition: bool) -> QueryPlan:
    """Make the plan of a query.

    Args:
        query: The query.
        parameters: The values of its parameters.
        in_one_partition: Whether its filter keeps it in one partition, which then needs no merging of rows.

    Raises:
        CosmosError: 400 where the clients have no way to merge what the query asks for.
    """
    node = query.node
    top, offset, limit = (_count(count, parameters) for count in (node.top, node.offset, node.limit))
    rewritten: tree.Select | None = None
    order: tuple[tree.OrderItem, ...] = ()
    info: JsonObject = {}
    if node.group_by or (query.select.aggregates and node.value is None):
        rewritten, info = _grouped(node)
    elif query.select.aggregates and node.value is not None:
        name, value = _aggregate(node.value)
        info = {"aggregates": [name]}
        rewritten = replace(_unlimited(node), value=tree.ArrayOf((value,)))
    elif node.distinct and not node.order_by:
        rewritten = None if top is None and limit is None else _unlimited(node)
    elif in_one_partition and not node.distinct:
        offset = limit = None
    elif node.order_by:
        order = node.order_by
        rewritten = _ordered(node, _merged_limit(offset, limit))
    elif limit is not None:
        rewritten = replace(node, offset=_ZERO, limit=_merged_limit(offset, limit))
    info |= {
        "distinctType": _distinct_type(node),
        "top": top,
        "offset": offset,
        "limit": limit,
        "orderBy": ["Descending" if item.descending else "Ascending" for item in order],
        "orderByExpressions": [write_expression(item.expression) for item in order],
        "hasSelectValue": node.value is not None,
        "rewrittenQuery": _written(rewritten),
    }
    return QueryPlan(_NOTHING | info, frozenset(_features(_NOTHING | info)))


_NOTHING: Final[JsonObject] = {
    "distinctType": "None",
    "top": None,
    "offset": None,
    "limit": None,
    "orderBy": [],
    "orderByExpressions": [],
    "groupByExpressions": [],
    "groupByAliases": [],
    "aggregates": [],
    "groupByAliasToAggregateType": {},
    "rewrittenQuery": "",
    "hasSelectValue": False,
    "hasNonStreamingOrderBy": False,
}


def _features(info: JsonObject) -> list[str]:
    types = info["groupByAliasToAggregateType"]
    by_alias = [name for name in types.values() if name] if isinstance(types, dict) else []
    aggregates = info["aggregates"]
    operators = [*by_alias, *(aggregates if isinstance(aggregates, list) else [])]
    order = info["orderBy"]
    keys = len(order) if isinstance(order, list) else 0
    present = {
        "Aggregate": bool(operators),
        "CountIf": "CountIf" in operators,
        "Distinct": info["distinctType"] != "None",
        "GroupBy": bool(info["groupByExpressions"]),
        "MultipleOrderBy": keys > 1,
        "NonValueAggregate": bool(by_alias) and not info["groupByExpressions"],
        "OffsetAndLimit": info["limit"] is not None,
        "OrderBy": keys == 1,
        "Top": info["top"] is not None,
    }
    return [name for name, is_present in present.items() if is_present]


def _written(rewritten: tree.Select | None) -> str:
    return "" if rewritten is None else write_query(rewritten).replace(_PLACE_OF_FILTER, _FILTER)


def _unlimited(node: tree.Select) -> tree.Select:
    return replace(node, top=None, offset=None, limit=None)


def _merged_limit(offset: int | None, limit: int | None) -> tree.Node | None:
    """Have each partition give as many as all together are to skip and to give."""
    return None if limit is None else tree.Constant((offset or 0) + limit)


def _count(node: tree.Node | None, parameters: Mapping[str, Value]) -> int | None:
    value: Value = None
    if isinstance(node, tree.Constant):
        value = node.value
    elif isinstance(node, tree.Parameter):
        value = parameters.get(node.name)
    if node is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise bad_request(
            "The counts of TOP, OFFSET and LIMIT have to be whole numbers that are not negative."
        )
    return value if isinstance(value, int) else None


def _bare(node: tree.Node) -> tree.Node:
    return _bare(node.inner) if isinstance(node, tree.Group) else node


def _alias(node: tree.Select) -> tree.Node:
    return tree.Name(node.sources[0].alias or "")


def _payload(node: tree.Select) -> tree.Node:
    if node.value is not None:
        return node.value
    if node.items is None:
        return _alias(node)
    values = (item.expression for item in node.items)
    return tree.ObjectOf(tuple(zip(item_names(node.items), values, strict=True)))


def _items(nodes: tuple[tree.Node, ...]) -> tree.Node:
    return tree.ArrayOf(tuple(tree.ObjectOf((("item", node),)) for node in nodes))


def _ordered(node: tree.Select, limit: tree.Node | None) -> tree.Select:
    """Have each row tell what it is ordered by, and leave a place for the client's own filter."""
    defined = () if node.value is None else (tree.Call("IS_DEFINED", (node.value,)),)
    others = (*(() if node.where is None else (node.where,)), tree.Name(f"({_PLACE_OF_FILTER})"), *defined)
    return replace(
        _unlimited(node) if node.distinct else node,
        distinct=False,
        value=None,
        items=(
            tree.SelectItem(tree.Index(_alias(node), tree.Constant("_rid")), None),
            tree.SelectItem(_items(tuple(item.expression for item in node.order_by)), "orderByItems"),
            tree.SelectItem(_payload(node), "payload"),
        ),
        where=tree.Logical("AND", others) if len(others) > 1 else tree.Name(_PLACE_OF_FILTER),
        offset=None if limit is None or node.distinct else _ZERO,
        limit=None if node.distinct else limit,
    )


def _aggregate(node: tree.Node) -> tuple[str, tree.ObjectOf]:
    """Give an aggregate's name with what a partition tells for it, so that the parts can be put together."""
    call = _bare(node)
    if not isinstance(call, tree.Call) or call.name not in _OPERATORS:
        raise bad_request(_COMPOSITION)
    name, count = call.name, tree.Call("COUNT", call.arguments)
    if name == "AVG":
        total = tree.Call("SUM", call.arguments)
        return _OPERATORS[name], tree.ObjectOf((("item", tree.ObjectOf((("sum", total), ("count", count)))),))
    if name in {"MIN", "MAX"}:
        both = tree.ObjectOf(((name.lower(), call), ("count", count)))
        return _OPERATORS[name], tree.ObjectOf((("item", call), ("item2", both)))
    return _OPERATORS[name], tree.ObjectOf((("item", call),))


def _grouped(node: tree.Select) -> tuple[tree.Select, JsonObject]:
    """Have each partition give its groups with what each aggregate of them is put together from."""
    info: JsonObject = {"groupByExpressions": [write_expression(one) for one in node.group_by]}
    if node.value is not None:
        payload = _aggregate(node.value)[1] if contains_aggregate(node.value) else node.value
        if contains_aggregate(node.value):
            info["aggregates"] = [_aggregate(node.value)[0]]
    else:
        names = item_names(node.items or ())
        types: dict[str, Json] = {}
        parts: list[tree.Node] = []
        for name, item in zip(names, node.items or (), strict=True):
            is_aggregate = contains_aggregate(item.expression)
            types[name], part = _aggregate(item.expression) if is_aggregate else (None, item.expression)
            parts.append(part)
        payload = tree.ObjectOf(tuple(zip(names, parts, strict=True)))
        info |= {"groupByAliases": list(names), "groupByAliasToAggregateType": types}
    groups = (tree.SelectItem(_items(node.group_by), "groupByItems"),) if node.group_by else ()
    items = (*groups, tree.SelectItem(payload, "payload"))
    return replace(_unlimited(node), value=None, items=items), info


def _distinct_type(node: tree.Select) -> str:
    if not node.distinct:
        return "None"
    selected = (
        {_bare(node.value)} if node.value is not None else {item.expression for item in node.items or ()}
    )
    ordered = {_bare(item.expression) for item in node.order_by}
    return "Ordered" if ordered and selected == ordered else "Unordered"
