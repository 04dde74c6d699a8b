"""From query text to the syntax tree."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import orjson
from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError

from local.cosmos.errors import CosmosError, bad_request, unsupported
from local.cosmos.sql import tree
from local.cosmos.values import UNDEFINED

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_QUERY_CHARACTERS: Final = 512 * 1024
_RESERVED: Final = re.compile(
    r"(?:ALL|AND|ARRAY|AS|ASC|BETWEEN|BY|DESC|DISTINCT|ESCAPE|EXISTS|FALSE|FROM|GROUP|IN|JOIN"
    r"|LEFT|LIKE|LIMIT|NOT|NULL|OFFSET|OR|ORDER|RIGHT|SELECT|TOP|TRUE|UDF|UNDEFINED|VALUE|WHERE)",
    re.IGNORECASE,
)
_PREDICATES: Final = (tree.Binary, tree.InList, tree.Between, tree.Like)


def syntax_error(message: str, start: int, end: int, code: str = "SC1001") -> CosmosError:
    """Build the 400 that says where a query is wrong, in the form of the service."""
    detail = {
        "severity": "Error",
        "location": {"start": start, "end": end},
        "code": code,
        "message": message,
    }
    return bad_request(orjson.dumps({"errors": [detail]}).decode())


def parse(text: str) -> tree.Select:
    """Parse a query.

    Raises:
        CosmosError: 400 that names what is wrong with it, or what in it is not supported.
    """
    if len(text) > MAX_QUERY_CHARACTERS:
        raise bad_request(f"The query is longer than {MAX_QUERY_CHARACTERS} characters.")
    try:
        return _run(text)
    except UnexpectedToken as error:
        raise _unexpected(error, str(error.token)) from error
    except UnexpectedCharacters as error:
        raise _unexpected(error, error.char) from error
    except UnexpectedInput as error:
        raise _unexpected(error, "the end of the query") from error
    except VisitError as error:
        if isinstance(error.orig_exc, CosmosError):
            raise error.orig_exc from None
        raise


def _unexpected(error: UnexpectedInput, near: str) -> CosmosError:
    found: object = error.pos_in_stream
    at = max(found, 0) if isinstance(found, int) else 0
    return syntax_error(
        f"Syntax error, incorrect syntax near '{near or 'the end of the query'}'.", at, at + len(near)
    )


@cache
def _lark() -> Lark:
    grammar = files("local.cosmos.sql").joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(
        grammar, parser="lalr", lexer="contextual", maybe_placeholders=True, propagate_positions=False
    )


def _run(text: str) -> tree.Select:
    result = _Builder().transform(_lark().parse(text))
    assert isinstance(result, tree.Select)  # noqa: S101 - the grammar's start rule
    return result


def _unquote(token: str) -> str:
    body = token[1:-1]
    if "\\" not in body:
        return body
    return re.sub(r"\\(u[0-9a-fA-F]{4}|.)", _unescape, body)


def _unescape(match: re.Match[str]) -> str:
    mark = match[1]
    if len(mark) > 1:
        return chr(int(mark[1:], 16))
    return {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}.get(mark, mark)


def _number(token: str) -> tree.Constant:
    number = float(token)
    return tree.Constant(int(token) if token.isdigit() and abs(number) <= 2**53 else number)


def is_reserved(name: str) -> bool:
    """Tell whether a word may not be a name."""
    return _RESERVED.fullmatch(name) is not None


def _plain(name: Token) -> str:
    """Refuse a reserved word as a name; the contextual lexer lets some through where no keyword can stand."""
    if _RESERVED.fullmatch(name):
        at = name.start_pos or 0
        raise syntax_error(f"Syntax error, incorrect syntax near '{name}'.", at, at + len(name))
    return str(name)


def _binary(left: tree.Node, operator: Token, right: tree.Node) -> tree.Node:
    return tree.Binary("!=" if operator == "<>" else str(operator), left, right)


@v_args(inline=True)
class _Builder(Transformer[Token, tree.Select]):
    """Builds nodes bottom up; one method per rule of the grammar."""

    def start(self, select: tree.Select) -> tree.Select:
        return select

    def select(  # noqa: PLR0913, PLR0917 - one argument per clause, in the grammar's order
        self,
        distinct: Token | None,
        top: tree.Node | None,
        selection: tuple[tuple[tree.SelectItem, ...] | None, tree.Node | None],
        sources: tuple[tree.Source, ...] | None,
        where: tree.Node | None,
        group_by: tuple[tree.Node, ...] | None,
        order_by: tuple[tree.OrderItem, ...] | None,
        offset_limit: tuple[tree.Node, tree.Node] | None,
    ) -> tree.Select:
        items, value = selection
        offset, limit = offset_limit or (None, None)
        return tree.Select(
            items,
            value,
            distinct is not None,
            top,
            sources or (),
            where,
            group_by or (),
            order_by or (),
            offset,
            limit,
        )

    def top(self, count: tree.Node) -> tree.Node:
        return count

    def select_star(self) -> tuple[None, None]:
        return None, None

    def select_value(self, value: tree.Node) -> tuple[None, tree.Node]:
        return None, value

    def select_list(self, *items: tree.SelectItem) -> tuple[tuple[tree.SelectItem, ...], None]:
        return items, None

    def select_item(self, expression: tree.Node, alias: Token | None) -> tree.SelectItem:
        return tree.SelectItem(expression, None if alias is None else _plain(alias))

    def from_clause(self, *sources: tree.Source) -> tuple[tree.Source, ...]:
        return sources

    def source_value(self, collection: tree.Collection, alias: Token | None) -> tree.Source:
        name = None if alias is None else _plain(alias)
        if name is None and isinstance(collection.root, str):
            name = next(
                (step for step in reversed(collection.path) if isinstance(step, str)), collection.root
            )
        return tree.Source(name, collection, elements=False)

    def source_elements(self, alias: Token, collection: tree.Collection) -> tree.Source:
        return tree.Source(_plain(alias), collection, elements=True)

    def collection_path(self, root: Token, *steps: str | int) -> tree.Collection:
        return tree.Collection(_plain(root), steps)

    def collection_query(self, select: tree.Select) -> tree.Collection:
        return tree.Collection(select)

    def step_name(self, name: Token) -> str:
        return _plain(name)

    def step_string(self, name: Token) -> str:
        return _unquote(name)

    def step_number(self, number: Token) -> int:
        if not number.isdigit():
            raise bad_request(f"The index {number} is not a whole number.")
        return int(number)

    def where(self, expression: tree.Node) -> tree.Node:
        return expression

    def group_by(self, *expressions: tree.Node) -> tuple[tree.Node, ...]:
        return expressions

    def order_by(self, *items: tree.OrderItem) -> tuple[tree.OrderItem, ...]:
        return items

    def order_item(self, expression: tree.Node, direction: Token | None) -> tree.OrderItem:
        return tree.OrderItem(expression, direction is not None and direction.upper() == "DESC")

    def offset_limit(self, offset: tree.Node, limit: tree.Node) -> tuple[tree.Node, tree.Node]:
        return offset, limit

    def conditional(self, condition: tree.Node, then: tree.Node, otherwise: tree.Node) -> tree.Node:
        return tree.Conditional(condition, then, otherwise)

    def coalesced(self, left: tree.Node, right: tree.Node) -> tree.Node:
        return tree.Coalesce(left, right)

    def disjunction(self, *operands: tree.Node) -> tree.Node:
        return tree.Logical("OR", operands)

    def conjunction(self, *operands: tree.Node) -> tree.Node:
        return tree.Logical("AND", operands)

    binary: Callable[..., tree.Node] = staticmethod(_binary)

    def negated(self, _not: Token, operand: tree.Node) -> tree.Node:
        if isinstance(operand, _PREDICATES):
            raise unsupported(
                "NOT directly before an operator, whose reach is ambiguous: put parentheses, which"
            )
        return tree.Unary("NOT", operand)

    def in_list(self, needle: tree.Node, negated: Token | None, *choices: tree.Node) -> tree.Node:
        return tree.InList(needle, choices, negated is not None)

    def between(self, value: tree.Node, negated: Token | None, low: tree.Node, high: tree.Node) -> tree.Node:
        return tree.Between(value, low, high, negated is not None)

    def like(
        self, value: tree.Node, negated: Token | None, pattern: tree.Node, escape: Token | None
    ) -> tree.Node:
        mark = None if escape is None else _unquote(escape)
        if mark is not None and len(mark) != 1:
            raise bad_request("The ESCAPE of LIKE has to be a single character.")
        return tree.Like(value, pattern, mark, negated is not None)

    def signed(self, operator: Token, operand: tree.Node) -> tree.Node:
        if operator == "-" and isinstance(operand, tree.Constant) and isinstance(operand.value, int | float):
            return tree.Constant(-operand.value)
        return tree.Unary(str(operator), operand)

    def name(self, name: Token) -> tree.Node:
        return tree.Name(_plain(name))

    def parameter(self, name: Token) -> tree.Node:
        return tree.Parameter(str(name))

    def number(self, number: Token) -> tree.Node:
        return _number(number)

    def string(self, token: Token) -> tree.Node:
        return tree.Constant(_unquote(token))

    def true(self) -> tree.Node:
        return tree.Constant(value=True)

    def false(self) -> tree.Node:
        return tree.Constant(value=False)

    def null(self) -> tree.Node:
        return tree.Constant(None)

    def undefined(self) -> tree.Node:
        return tree.Constant(UNDEFINED)

    def array(self, *elements: tree.Node | None) -> tree.Node:
        return tree.ArrayOf(tuple(element for element in elements if element is not None))

    def object(self, *properties: tuple[str, tree.Node] | None) -> tree.Node:
        return tree.ObjectOf(tuple(prop for prop in properties if prop is not None))

    def property(self, name: Token, value: tree.Node) -> tuple[str, tree.Node]:
        return (_unquote(name) if name.type == "STRING" else _plain(name)), value

    def group(self, inner: tree.Node) -> tree.Node:
        return tree.Group(inner)

    def scalar_query(self, select: tree.Select) -> tree.Node:
        return tree.Subquery(select, "scalar")

    def exists_query(self, select: tree.Select) -> tree.Node:
        return tree.Subquery(select, "exists")

    def array_query(self, select: tree.Select) -> tree.Node:
        return tree.Subquery(select, "array")

    def member(self, base: tree.Node, name: Token) -> tree.Node:
        return tree.Index(base, tree.Constant(_plain(name)))

    def index(self, base: tree.Node, index: tree.Node) -> tree.Node:
        return tree.Index(base, index)

    def call(self, name: Token, *arguments: tree.Node | None) -> tree.Node:
        return tree.Call(name.upper(), tuple(argument for argument in arguments if argument is not None))

    def udf(self, name: Token, *_arguments: tree.Node | None) -> tree.Node:
        raise unsupported(f"The user defined function udf.{name}")
