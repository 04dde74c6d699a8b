"""From syntax tree to closures over a frame.

A frame is a list of slots: the time of the query, its parameters, one slot per alias of each FROM, one per
aggregate and per GROUP BY expression. A closure reads its slots and gives a value; a source's closure fills
its slot row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from local.cosmos.errors import bad_request, unsupported
from local.cosmos.sql import tree
from local.cosmos.sql.aggregates import AGGREGATES, Accumulator
from local.cosmos.sql.functions.dates import format_ticks
from local.cosmos.sql.functions.registry import find
from local.cosmos.sql.operators import BINARY, UNARY, index_into, like
from local.cosmos.sql.parser import syntax_error
from local.cosmos.values import UNDEFINED, Json, SortKey, Value, deep_equal, sort_key

if TYPE_CHECKING:
    from collections.abc import Mapping

type Frame = list[Value]
type Evaluate = Callable[[Frame], Value]
type Rows = Callable[[Frame], Iterator[None]]

NOW_SLOT: Final = 0
ROOT_SLOT: Final = 1
_CLOCK_FUNCTIONS: Final[dict[str, Callable[[int], Value]]] = {
    "GETCURRENTDATETIME": format_ticks,
    "GETCURRENTTICKS": lambda ticks: ticks,
    "GETCURRENTTIMESTAMP": lambda ticks: ticks // 10_000,
}
_STATIC: Final = "STATIC"


@dataclass(frozen=True, slots=True)
class AggregateSlot:
    """One aggregate call of a select: what it takes from each row and where its result goes."""

    make: Callable[[], Accumulator]
    argument: Evaluate
    slot: int


@dataclass(frozen=True, slots=True)
class GroupSlot:
    """One GROUP BY expression and the slot of its value."""

    node: tree.Node
    key: Evaluate
    slot: int


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One ORDER BY expression; `path` is what an index would have to serve."""

    evaluate: Evaluate
    descending: bool
    path: tuple[str, ...]


@dataclass(slots=True)
class Scope:
    """The aliases that an expression sees, inner ones first, and its select's aggregates."""

    parent: Scope | None
    aliases: dict[str, int] = field(default_factory=dict)
    groups: list[GroupSlot] = field(default_factory=list)
    aggregates: list[AggregateSlot] | None = None  # None where no aggregate may stand
    grouped: bool = False

    def find(self, name: str) -> int | None:
        """Look an alias up."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.aliases:
                return scope.aliases[name]
            scope = scope.parent
        return None


@dataclass(frozen=True, slots=True)
class CompiledSelect:
    """A select as closures. `plain` says that its only source is the container's items themselves."""

    rows: Rows
    where: Evaluate | None
    project: Evaluate
    order: tuple[OrderKey, ...]
    groups: tuple[GroupSlot, ...]
    aggregates: tuple[AggregateSlot, ...]
    distinct: bool
    top: Evaluate | None
    offset: Evaluate | None
    limit: Evaluate | None
    plain: bool

    @property
    def grouped(self) -> bool:
        """Whether rows are gathered into groups before they are projected."""
        return bool(self.groups or self.aggregates)

    def matching(self, frame: Frame) -> Iterator[None]:
        """Fill the frame with each row that passes the filter."""
        where = self.where
        for _ in self.rows(frame):
            if where is None or where(frame) is True:
                yield

    def values(self, frame: Frame) -> Iterator[Json]:
        """Evaluate as a subquery; undefined results are left out."""
        rows = gather(self, self.matching(frame), frame) if self.grouped else self.matching(frame)
        seen: set[object] = set()
        for _ in rows:
            value = self.project(frame)
            if value is UNDEFINED:
                continue
            if self.distinct:
                key = sort_key(value)
                if key in seen:
                    continue
                seen.add(key)
            yield value


def gather(select: CompiledSelect, rows: Iterator[None], frame: Frame) -> Iterator[None]:
    """Consume rows into groups and fill the frame with each group, ordered by its key."""
    found: dict[tuple[SortKey, ...], tuple[list[Value], list[Accumulator]]] = {}
    if not select.groups:
        found[()] = ([], [aggregate.make() for aggregate in select.aggregates])
    for _ in rows:
        values = [group.key(frame) for group in select.groups]
        key: tuple[SortKey, ...] = tuple(map(sort_key, values))
        if key not in found:
            found[key] = (values, [aggregate.make() for aggregate in select.aggregates])
        for aggregate, accumulator in zip(select.aggregates, found[key][1], strict=True):
            value = aggregate.argument(frame)
            if value is not UNDEFINED:
                accumulator.add(value)
    for key in sorted(found):
        values, accumulators = found[key]
        for group, value in zip(select.groups, values, strict=True):
            frame[group.slot] = value
        for aggregate, accumulator in zip(select.aggregates, accumulators, strict=True):
            frame[aggregate.slot] = accumulator.result()
        yield


class Compiler:
    """Compiles one query; holds the layout of its frame."""

    def __init__(self) -> None:
        self.size = 2  # NOW_SLOT and ROOT_SLOT
        self.parameters: dict[str, int] = {}

    def slot(self) -> int:
        """Reserve a slot of the frame."""
        self.size += 1
        return self.size - 1

    def frame(self, parameters: Mapping[str, Value], now_ticks: int) -> Frame:
        """Build a frame with the parameters bound.

        Raises:
            CosmosError: 400 where the query uses a parameter that is not given.
        """
        frame: Frame = [UNDEFINED] * self.size
        frame[NOW_SLOT] = now_ticks
        for name, slot in self.parameters.items():
            if name not in parameters:
                raise bad_request(f"The query uses the parameter {name}, which is not given.")
            frame[slot] = parameters[name]
        return frame

    def select(self, node: tree.Select, parent: Scope | None) -> CompiledSelect:
        """Compile a query or a subquery; the top one has no parent."""
        if parent is not None:
            _refuse_in_subquery(node)
        scope = Scope(parent)
        rows, plain = self._sources(node.sources, scope, parent)
        where = None if node.where is None else self.expression(node.where, scope)
        for expression in node.group_by:
            scope.groups.append(GroupSlot(_bare(expression), self.expression(expression, scope), self.slot()))
        order = tuple(self._order_key(item, scope) for item in node.order_by)
        _check_order(node)
        scope.aggregates = []
        scope.grouped = bool(scope.groups) or _has_aggregate(node)
        project = self._projection(node, scope)
        return CompiledSelect(
            rows=rows,
            where=where,
            project=project,
            order=order,
            groups=tuple(scope.groups),
            aggregates=tuple(scope.aggregates),
            distinct=node.distinct,
            top=self._count(node.top, scope),
            offset=self._count(node.offset, scope),
            limit=self._count(node.limit, scope),
            plain=plain,
        )

    def expression(self, node: tree.Node, scope: Scope) -> Evaluate:  # noqa: C901, PLR0911, PLR0912 - one case per node
        """Compile an expression."""
        for group in scope.groups if scope.grouped else ():
            if group.node == node:
                return _slot_reader(group.slot)
        match node:
            case tree.Constant(constant):
                return lambda _frame: constant
            case tree.Parameter(name):
                return _slot_reader(self._parameter(name))
            case tree.Group(inner):
                return self.expression(inner, scope)
            case tree.Name(name):
                return self._alias(name, scope)
            case tree.Index(base, index):
                return self._index(base, index, scope)
            case tree.Unary(operator, operand):
                return _unary(UNARY[operator], self.expression(operand, scope))
            case tree.Binary():
                return self._binary(node, scope)
            case tree.Logical():
                return self._logical(node, scope)
            case tree.InList():
                return self._in_list(node, scope)
            case tree.Between(value, low, high, negated):
                inside = tree.Logical("AND", (tree.Binary(">=", value, low), tree.Binary("<=", value, high)))
                return self.expression(tree.Unary("NOT", inside) if negated else inside, scope)
            case tree.Like():
                return self._like(node, scope)
            case tree.Conditional(condition, then, otherwise):
                test, yes, no = (self.expression(part, scope) for part in (condition, then, otherwise))
                return lambda frame: yes(frame) if test(frame) is True else no(frame)
            case tree.Coalesce(left, right):
                return _coalesce(self.expression(left, scope), self.expression(right, scope))
            case tree.Call():
                return self._call(node, scope)
            case tree.ArrayOf(elements):
                return _array_of([self.expression(element, scope) for element in elements])
            case tree.ObjectOf(properties):
                return _object_of([(name, self.expression(value, scope)) for name, value in properties])
            case tree.Subquery():
                return self._subquery(node, scope)

    def _parameter(self, name: str) -> int:
        if name not in self.parameters:
            self.parameters[name] = self.slot()
        return self.parameters[name]

    def _alias(self, name: str, scope: Scope) -> Evaluate:
        slot = scope.find(name)
        if slot is None:
            raise syntax_error(f"Identifier '{name}' could not be resolved.", 0, 0, "SC2001")
        if scope.grouped and name in scope.aliases:
            raise syntax_error(
                f"Property reference '{name}' is invalid in the select list because it is not contained "
                "in either an "
                "aggregate function or the GROUP BY clause.",
                0,
                0,
                "SC2102",
            )
        return _slot_reader(slot)

    def _index(self, base: tree.Node, index: tree.Node, scope: Scope) -> Evaluate:
        source = self.expression(base, scope)
        if isinstance(index, tree.Constant) and isinstance(index.value, str):
            return _property_reader(source, index.value)
        at = self.expression(index, scope)
        return lambda frame: index_into(source(frame), at(frame))

    def _binary(self, node: tree.Binary, scope: Scope) -> Evaluate:
        left, right = self.expression(node.left, scope), self.expression(node.right, scope)
        apply = BINARY[node.operator]
        return lambda frame: apply(left(frame), right(frame))

    def _logical(self, node: tree.Logical, scope: Scope) -> Evaluate:
        operands = [self.expression(operand, scope) for operand in node.operands]
        decisive = node.operator == "OR"

        def evaluate(frame: Frame) -> Value:
            known = True
            for operand in operands:
                value = operand(frame)
                if value is decisive:
                    return decisive
                known = known and isinstance(value, bool)
            return not decisive if known else UNDEFINED

        return evaluate

    def _in_list(self, node: tree.InList, scope: Scope) -> Evaluate:
        needle = self.expression(node.needle, scope)
        choices = [self.expression(choice, scope) for choice in node.choices]
        negated = node.negated

        def evaluate(frame: Frame) -> Value:
            value = needle(frame)
            if value is UNDEFINED:
                return UNDEFINED
            return any(deep_equal(value, choice(frame)) for choice in choices) is not negated

        return evaluate

    def _like(self, node: tree.Like, scope: Scope) -> Evaluate:
        value, pattern = self.expression(node.value, scope), self.expression(node.pattern, scope)
        escape, negate = node.escape, UNARY["NOT"]
        if node.negated:
            return lambda frame: negate(like(value(frame), pattern(frame), escape))
        return lambda frame: like(value(frame), pattern(frame), escape)

    def _call(self, node: tree.Call, scope: Scope) -> Evaluate:
        if node.name in AGGREGATES:
            return self._aggregate(node, scope)
        clock = _CLOCK_FUNCTIONS.get(node.name.removesuffix(_STATIC))
        if clock is not None and not node.arguments:
            return lambda frame: clock(frame[NOW_SLOT])  # type: ignore[arg-type] # the slot holds an integer
        function = find(node.name, len(node.arguments)).evaluate
        arguments = [self.expression(argument, scope) for argument in node.arguments]
        if len(arguments) == 1:
            only = arguments[0]
            return lambda frame: function(only(frame))
        return lambda frame: function(*(argument(frame) for argument in arguments))

    def _aggregate(self, node: tree.Call, scope: Scope) -> Evaluate:
        if scope.aggregates is None:
            raise syntax_error(f"The aggregate {node.name} is only valid in the select list.", 0, 0, "SC2100")
        if len(node.arguments) != 1:
            raise syntax_error(f"The {node.name} function takes one argument.", 0, 0, "SC2050")
        per_row = Scope(scope.parent, scope.aliases)
        slot = self.slot()
        argument = self.expression(node.arguments[0], per_row)
        scope.aggregates.append(AggregateSlot(AGGREGATES[node.name], argument, slot))
        return _slot_reader(slot)

    def _subquery(self, node: tree.Subquery, scope: Scope) -> Evaluate:
        select = self.select(node.select, scope)
        if node.form == "exists":
            return lambda frame: any(True for _ in select.values(frame))
        if node.form == "array":
            return lambda frame: list(select.values(frame))

        def single(frame: Frame) -> Value:
            values = list(select.values(frame))
            if len(values) > 1:
                raise bad_request(
                    "The cardinality of a scalar subquery result set cannot be greater than one."
                )
            return values[0] if values else UNDEFINED

        return single

    def _order_key(self, item: tree.OrderItem, scope: Scope) -> OrderKey:
        path = _document_path(_bare(item.expression), scope)
        if path is None:
            raise bad_request(
                "Unsupported ORDER BY clause. ORDER BY item expression could not be mapped to a document "
                "path."
            )
        return OrderKey(self.expression(item.expression, scope), item.descending, path)

    def _count(self, node: tree.Node | None, scope: Scope) -> Evaluate | None:
        return None if node is None else self.expression(node, Scope(scope.parent))

    def _projection(self, node: tree.Select, scope: Scope) -> Evaluate:
        if node.value is not None:
            return self.expression(node.value, scope)
        if node.items is None:
            if len(node.sources) != 1 or scope.grouped:
                raise syntax_error("'SELECT *' is only valid with a single input set.", 0, 0, "SC2040")
            return _slot_reader(next(iter(scope.aliases.values())))
        values = [self.expression(item.expression, scope) for item in node.items]
        return _object_of(list(zip(item_names(node.items), values, strict=True)))

    def _sources(
        self, sources: tuple[tree.Source, ...], scope: Scope, parent: Scope | None
    ) -> tuple[Rows, bool]:
        binders: list[tuple[int, Callable[[Frame], Iterator[Value]]]] = []
        for position, source in enumerate(sources):
            values = self._collection(source, scope, is_root=position == 0 and parent is None)
            if source.alias is None:
                raise unsupported("A subquery in FROM without an alias")
            if source.alias in scope.aliases:
                raise syntax_error(f"The alias '{source.alias}' is already in use.", 0, 0, "SC2010")
            scope.aliases[source.alias] = self.slot()
            binders.append((scope.aliases[source.alias], values))
        first = sources[0] if len(sources) == 1 else None
        plain = (
            parent is None
            and first is not None
            and not first.elements
            and isinstance(first.collection.root, str)
            and not first.collection.path
        )
        return (_bind_root(binders[0][0]) if plain else _product(binders)), plain

    def _collection(
        self, source: tree.Source, scope: Scope, *, is_root: bool
    ) -> Callable[[Frame], Iterator[Value]]:
        collection = source.collection
        if isinstance(collection.root, tree.Select):
            values: Callable[[Frame], Iterator[Value]] = self.select(collection.root, scope).values
            return _elements_of_each(values) if source.elements else values
        if is_root:
            read: Evaluate = _slot_reader(ROOT_SLOT)
        else:
            slot = scope.find(collection.root)
            if slot is None:
                raise syntax_error(f"Identifier '{collection.root}' could not be resolved.", 0, 0, "SC2001")
            read = _slot_reader(slot)
        for step in collection.path:
            read = _step(read, step)
        return _elements(read) if source.elements else _single(read)


def item_names(items: tuple[tree.SelectItem, ...]) -> tuple[str, ...]:
    """Name the items of a select list: by alias, by the property that they read, or by number.

    Raises:
        CosmosError: 400 where two have one name.
    """
    names: list[str] = []
    unnamed = 0
    for item in items:
        name = item.alias or _last_name(item.expression)
        if name is None:
            unnamed += 1
            name = f"${unnamed}"
        if name in names:
            raise syntax_error(f"The name '{name}' is used for more than one select item.", 0, 0, "SC2021")
        names.append(name)
    return tuple(names)


def _refuse_in_subquery(node: tree.Select) -> None:
    for clause, present in (
        ("ORDER BY", node.order_by),
        ("OFFSET LIMIT", node.offset is not None),
        ("TOP", node.top is not None),
    ):
        if present:
            raise unsupported(f"{clause} in a subquery")


def _check_order(node: tree.Select) -> None:
    if not node.order_by:
        return
    if node.group_by or _has_aggregate(node):
        raise unsupported("ORDER BY together with GROUP BY or an aggregate")


def _has_aggregate(node: tree.Select) -> bool:
    expressions = [node.value] if node.value is not None else [item.expression for item in node.items or ()]
    return any(map(contains_aggregate, expressions))


def contains_aggregate(node: tree.Node) -> bool:
    """Tell whether an expression has an aggregate in it, subqueries apart."""
    if isinstance(node, tree.Call) and node.name in AGGREGATES:
        return True
    return any(contains_aggregate(child) for child in children(node))


def children(node: tree.Node) -> Iterator[tree.Node]:  # noqa: C901, PLR0912 - one case per node
    """Give the direct parts of an expression; a subquery is a world of its own."""
    match node:
        case tree.Index(base, index):
            yield from (base, index)
        case tree.Unary(_, operand):
            yield operand
        case tree.Binary(_, left, right) | tree.Coalesce(left, right):
            yield from (left, right)
        case tree.Logical(_, operands):
            yield from operands
        case tree.InList(needle, choices, _):
            yield needle
            yield from choices
        case tree.Between(value, low, high, _):
            yield from (value, low, high)
        case tree.Like(value, pattern, _, _):
            yield from (value, pattern)
        case tree.Conditional(condition, then, otherwise):
            yield from (condition, then, otherwise)
        case tree.Call(_, arguments):
            yield from arguments
        case tree.ArrayOf(elements):
            yield from elements
        case tree.ObjectOf(properties):
            yield from (value for _, value in properties)
        case tree.Group(inner):
            yield inner
        case _:
            return


def _bare(node: tree.Node) -> tree.Node:
    while isinstance(node, tree.Group):
        node = node.inner
    return node


def _last_name(node: tree.Node) -> str | None:
    match _bare(node):
        case tree.Name(name):
            return name
        case tree.Index(_, tree.Constant(str() as name)):
            return name
        case _:
            return None


def _document_path(node: tree.Node, scope: Scope) -> tuple[str, ...] | None:
    """Name the property of an item that an expression reads, for the index; None for anything else."""
    steps: list[str] = []
    while isinstance(node, tree.Index):
        index = node.index
        if not isinstance(index, tree.Constant) or isinstance(index.value, bool):
            return None
        if isinstance(index.value, str):
            steps.append(index.value)
        elif isinstance(index.value, int):
            steps.append("[]")
        else:
            return None
        node = node.base
    return (
        tuple(reversed(steps))
        if isinstance(node, tree.Name) and node.name in scope.aliases and steps
        else None
    )


def _slot_reader(slot: int) -> Evaluate:
    return lambda frame: frame[slot]


def _property_reader(source: Evaluate, name: str) -> Evaluate:
    def evaluate(frame: Frame) -> Value:
        value = source(frame)
        return value.get(name, UNDEFINED) if type(value) is dict else UNDEFINED

    return evaluate


def _step(read: Evaluate, step: str | int) -> Evaluate:
    return lambda frame: index_into(read(frame), step)


def _unary(apply: Callable[[Value], Value], operand: Evaluate) -> Evaluate:
    return lambda frame: apply(operand(frame))


def _coalesce(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda frame: right(frame) if (value := left(frame)) is UNDEFINED else value


def _array_of(elements: list[Evaluate]) -> Evaluate:
    return lambda frame: [value for element in elements if (value := element(frame)) is not UNDEFINED]


def _object_of(properties: list[tuple[str, Evaluate]]) -> Evaluate:
    return lambda frame: {name: value for name, read in properties if (value := read(frame)) is not UNDEFINED}


def _single(read: Evaluate) -> Callable[[Frame], Iterator[Value]]:
    def values(frame: Frame) -> Iterator[Value]:
        value = read(frame)
        if value is not UNDEFINED:
            yield value

    return values


def _elements(read: Evaluate) -> Callable[[Frame], Iterator[Value]]:
    def values(frame: Frame) -> Iterator[Value]:
        value = read(frame)
        if isinstance(value, list):
            yield from value

    return values


def _elements_of_each(source: Callable[[Frame], Iterator[Value]]) -> Callable[[Frame], Iterator[Value]]:
    def values(frame: Frame) -> Iterator[Value]:
        for value in source(frame):
            if isinstance(value, list):
                yield from value

    return values


def _bind_root(slot: int) -> Rows:
    def rows(frame: Frame) -> Iterator[None]:
        frame[slot] = frame[ROOT_SLOT]
        yield

    return rows


def _product(binders: list[tuple[int, Callable[[Frame], Iterator[Value]]]]) -> Rows:
    def rows(frame: Frame, depth: int = 0) -> Iterator[None]:
        if depth == len(binders):
            yield
            return
        slot, values = binders[depth]
        for value in values(frame):
            frame[slot] = value
            yield from rows(frame, depth + 1)

    return rows
