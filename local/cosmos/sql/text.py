"""Syntax trees as query text, in the form in which the service writes a query that it has rewritten."""

from __future__ import annotations

import re
from typing import Final

import orjson

from local.cosmos.sql import tree
from local.cosmos.sql.parser import is_reserved
from local.cosmos.values import UNDEFINED, Value

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SUBQUERIES: Final = {"scalar": "", "exists": "EXISTS", "array": "ARRAY"}


def write_query(select: tree.Select) -> str:
    """Write a query, a clause to a line."""
    head = "SELECT " + ("DISTINCT " if select.distinct else "")
    if select.top is not None:
        head += f"TOP {write_expression(select.top)} "
    clauses = [head + _selection(select)]
    if select.sources:
        clauses.append("FROM " + "\nJOIN ".join(map(_source, select.sources)))
    if select.where is not None:
        clauses.append(f"WHERE {_in_parentheses(select.where)}")
    if select.group_by:
        clauses.append("GROUP BY " + _listed(select.group_by))
    if select.order_by:
        clauses.append("ORDER BY " + ", ".join(map(_order, select.order_by)))
    if select.offset is not None and select.limit is not None:
        clauses.append(f"OFFSET {write_expression(select.offset)} LIMIT {write_expression(select.limit)}")
    return "\n".join(clauses)


def write_expression(node: tree.Node) -> str:  # noqa: C901, PLR0911, PLR0912 - one case per node
    """Write an expression; what has operators is in parentheses, so that no rank of theirs matters."""
    match node:
        case tree.Constant(value):
            return _constant(value)
        case tree.Parameter(name) | tree.Name(name):
            return name
        case tree.Group(inner):
            return write_expression(inner)
        case tree.Index(base, index):
            return write_expression(base) + _step(index)
        case tree.Unary(operator, operand):
            return f"({operator}{' ' if operator.isalpha() else ''}{write_expression(operand)})"
        case tree.Binary(operator, left, right):
            return f"({write_expression(left)} {operator} {write_expression(right)})"
        case tree.Logical(operator, operands):
            return "(" + f" {operator} ".join(map(write_expression, operands)) + ")"
        case tree.InList(needle, choices, negated):
            return f"({write_expression(needle)}{_not(negated)} IN ({_listed(choices)}))"
        case tree.Between(value, low, high, negated):
            bounds = f"{write_expression(low)} AND {write_expression(high)}"
            return f"({write_expression(value)}{_not(negated)} BETWEEN {bounds})"
        case tree.Like(value, pattern, escape, negated):
            ending = "" if escape is None else f" ESCAPE {_constant(escape)}"
            return f"({write_expression(value)}{_not(negated)} LIKE {write_expression(pattern)}{ending})"
        case tree.Conditional(condition, then, otherwise):
            parts = map(write_expression, (condition, then, otherwise))
            return "({} ? {} : {})".format(*parts)
        case tree.Coalesce(left, right):
            return f"({write_expression(left)} ?? {write_expression(right)})"
        case tree.Call(name, arguments):
            return f"{name}({_listed(arguments)})"
        case tree.ArrayOf(elements):
            return f"[{_listed(elements)}]"
        case tree.ObjectOf(properties):
            written = (f"{_constant(name)}: {write_expression(value)}" for name, value in properties)
            return "{" + ", ".join(written) + "}"
        case tree.Subquery(select, form):
            return f"{_SUBQUERIES[form]}({write_query(select)})"


def _selection(select: tree.Select) -> str:
    if select.value is not None:
        return f"VALUE {write_expression(select.value)}"
    if select.items is None:
        return "*"
    return ", ".join(
        write_expression(item.expression) + ("" if item.alias is None else f" AS {item.alias}")
        for item in select.items
    )


def _source(source: tree.Source) -> str:
    root, path = source.collection.root, source.collection.path
    if isinstance(root, tree.Select):
        collection = f"({write_query(root)})"
    else:
        collection = root + "".join(_step(tree.Constant(step)) for step in path)
    if source.elements:
        return f"{source.alias} IN {collection}"
    return collection if source.alias == root and not path else f"{collection} AS {source.alias}"


def _order(item: tree.OrderItem) -> str:
    return write_expression(item.expression) + (" DESC" if item.descending else "")


def _step(index: tree.Node) -> str:
    name = index.value if isinstance(index, tree.Constant) else None
    if isinstance(name, str) and _IDENTIFIER.fullmatch(name) and not is_reserved(name):
        return f".{name}"
    return f"[{write_expression(index)}]"


def _constant(value: Value) -> str:
    return "undefined" if value is UNDEFINED else orjson.dumps(value).decode()


def _not(negated: bool) -> str:  # noqa: FBT001 - a field of the node
    return " NOT" if negated else ""


def _listed(nodes: tuple[tree.Node, ...]) -> str:
    return ", ".join(map(write_expression, nodes))


def _in_parentheses(node: tree.Node) -> str:
    written = write_expression(node)
    return written if isinstance(_inner(node), _WITH_PARENTHESES) else f"({written})"


def _inner(node: tree.Node) -> tree.Node:
    return _inner(node.inner) if isinstance(node, tree.Group) else node


_WITH_PARENTHESES: Final = (
    tree.Unary,
    tree.Binary,
    tree.Logical,
    tree.InList,
    tree.Between,
    tree.Like,
    tree.Conditional,
    tree.Coalesce,
)
