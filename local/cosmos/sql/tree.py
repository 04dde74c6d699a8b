"""The syntax tree of a query. Nodes compare by structure, which is how GROUP BY finds its expressions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from typing import Literal as OneOf

if TYPE_CHECKING:
    from local.cosmos.values import Value


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal; `kind` keeps true and 1 apart when nodes are compared."""

    value: Value
    kind: type = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", type(self.value))


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value bound when the query runs, `@name`."""

    name: str


@dataclass(frozen=True, slots=True)
class Name:
    """An alias of the FROM clause."""

    name: str


@dataclass(frozen=True, slots=True)
class Index:
    """A property or an element of a value: `base.name`, `base["name"]`, `base[0]`."""

    base: Node
    index: Node


@dataclass(frozen=True, slots=True)
class Unary:
    """An operator before its operand: `-`, `+`, `~`, `NOT`."""

    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two operands."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Logical:
    """`a AND b AND ...` or `a OR b OR ...`, flat, because clients write filters of a thousand terms."""

    operator: OneOf["AND", "OR"]
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class InList:
    """`needle [NOT] IN (a, b, ...)`."""

    needle: Node
    choices: tuple[Node, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Between:
    """`value [NOT] BETWEEN low AND high`."""

    value: Node
    low: Node
    high: Node
    negated: bool


@dataclass(frozen=True, slots=True)
class Like:
    """`value [NOT] LIKE pattern [ESCAPE 'c']`."""

    value: Node
    pattern: Node
    escape: str | None
    negated: bool


@dataclass(frozen=True, slots=True)
class Conditional:
    """`condition ? then : otherwise`."""

    condition: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Coalesce:
    """`left ?? right`: the right one where the left one is undefined."""

    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Call:
    """A built-in function or an aggregate; `name` is in upper case."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ArrayOf:
    """`[a, b]`."""

    elements: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ObjectOf:
    """`{"a": x}`."""

    properties: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """An expression in parentheses."""

    inner: Node


@dataclass(frozen=True, slots=True)
class Subquery:
    """A query used as a value, as `EXISTS(...)` or as `ARRAY(...)`."""

    select: Select
    form: OneOf["scalar", "exists", "array"]


type Node = (
    Constant
    | Parameter
    | Name
    | Index
    | Unary
    | Binary
    | Logical
    | InList
    | Between
    | Like
    | Conditional
    | Coalesce
    | Call
    | ArrayOf
    | ObjectOf
    | Group
    | Subquery
)


@dataclass(frozen=True, slots=True)
class Collection:
    """What a source reads: a path from an alias (or from the container), or a subquery."""

    root: str | Select
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """One input of FROM: a collection bound to an alias, whole or element by element."""

    alias: str | None
    collection: Collection
    elements: bool


@dataclass(frozen=True, slots=True)
class SelectItem:
    """One expression of the select list with its alias."""

    expression: Node
    alias: str | None


@dataclass(frozen=True, slots=True)
class OrderItem:
    """One expression of ORDER BY."""

    expression: Node
    descending: bool


@dataclass(frozen=True, slots=True)
class Select:
    """A whole query."""

    items: tuple[SelectItem, ...] | None
    value: Node | None
    distinct: bool = False
    top: Node | None = None
    sources: tuple[Source, ...] = ()
    where: Node | None = None
    group_by: tuple[Node, ...] = ()
    order_by: tuple[OrderItem, ...] = ()
    offset: Node | None = None
    limit: Node | None = None

    @property
    def star(self) -> bool:
        """Whether this is `SELECT *`."""
        return self.items is None and self.value is None
