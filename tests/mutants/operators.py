"""Operators: each makes the small faults of one kind that a node can have."""

from __future__ import annotations

import ast
import copy
from typing import TYPE_CHECKING

from tests.mutants.edits import DESCRIBING_KEYWORDS, Edit, callee, is_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.mutants.edits import Place

type Operator = Callable[[Place], Iterator[Edit]]

_BOUNDARIES: dict[type[ast.cmpop], ast.cmpop] = {
    ast.Lt: ast.LtE(),
    ast.LtE: ast.Lt(),
    ast.Gt: ast.GtE(),
    ast.GtE: ast.Gt(),
}
_OPPOSITES: dict[type[ast.cmpop], ast.cmpop] = {
    ast.Eq: ast.NotEq(),
    ast.NotEq: ast.Eq(),
    ast.Is: ast.IsNot(),
    ast.IsNot: ast.Is(),
    ast.In: ast.NotIn(),
    ast.NotIn: ast.In(),
}
_SWAPPED_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_SMALL = 64
"""Integers up to here are moved by one; larger ones are doubled and halved, as measures are."""
_HARMLESS_KEYWORDS = frozenset({"strict", "slots", "frozen", "kw_only", "extra"}) | DESCRIBING_KEYWORDS
_QUERY_CUTS = (" AND ", " WHERE ", " ORDER BY ", " DESC")


def compared_otherwise(place: Place) -> Iterator[Edit]:
    """A comparison's boundary moved, or its sense turned round."""
    node = place.node
    if not isinstance(node, ast.Compare):
        return
    for index, operator in enumerate(node.ops):
        for kind, table in (("boundary", _BOUNDARIES), ("comparison", _OPPOSITES)):
            if (other := table.get(type(operator))) is not None:
                new = copy.deepcopy(node)
                new.ops[index] = other
                change = f"{_sign(operator)} to {_sign(other)} before {_short(node.comparators[index])}"
                yield Edit(kind, node, f"({ast.unparse(new)})", change)


def negated_condition(place: Place) -> Iterator[Edit]:
    """A condition that is neither compared nor joined, turned round; one of a comprehension, left out."""
    node = place.node
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        test: ast.expr | None = node.test
    else:
        test = node.guard if isinstance(node, ast.match_case) else None
    if test is not None and not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant):
        yield Edit("condition", test, f"(not ({ast.unparse(test)}))", f"negate {_short(test)}")
    if isinstance(node, ast.comprehension):
        for condition in node.ifs:
            yield Edit("clause", condition, "True", f"drop {_short(condition)}")


def removed_not(place: Place) -> Iterator[Edit]:
    """A negation that is left out."""
    if isinstance(place.node, ast.UnaryOp) and isinstance(place.node.op, ast.Not):
        operand = place.node.operand
        yield Edit("not", place.node, f"({ast.unparse(operand)})", f"drop not of {_short(operand)}")


def joined_otherwise(place: Place) -> Iterator[Edit]:
    """A clause of a condition left out, and `and` and `or` exchanged."""
    node = place.node
    if not isinstance(node, ast.BoolOp):
        return
    for index, clause in enumerate(node.values):
        left = [value for at, value in enumerate(node.values) if at != index]
        new = left[0] if len(left) == 1 else ast.BoolOp(node.op, left)
        yield Edit("clause", node, f"({ast.unparse(new)})", f"drop {_short(clause)}")
    other: ast.boolop = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    yield Edit("and/or", node, f"({ast.unparse(ast.BoolOp(other, node.values))})", f"{_short(node)} swapped")


def calculated_otherwise(place: Place) -> Iterator[Edit]:
    """Sum and difference exchanged; the right side of a union left out."""
    node = place.node
    if not isinstance(node, ast.BinOp):
        return
    sides = (node.left, node.right)
    others: dict[type[ast.operator], ast.operator] = {ast.Add: ast.Sub(), ast.Sub: ast.Add()}
    other = others.get(type(node.op))
    if other is not None and not any(
        is_text(side) or isinstance(side, ast.List | ast.Tuple) for side in sides
    ):
        new = ast.BinOp(node.left, other, node.right)
        yield Edit("arithmetic", node, f"({ast.unparse(new)})", f"{_short(node)} turned round")
    if isinstance(node.op, ast.BitOr):
        yield Edit("union", node, f"({ast.unparse(node.left)})", f"drop {_short(node.right)}")


def called_otherwise(place: Place) -> Iterator[Edit]:
    """A named argument left out; `min` and `max`, `any` and `all` exchanged."""
    node = place.node
    if not isinstance(node, ast.Call):
        return
    for index, keyword in enumerate(node.keywords):
        if keyword.arg is not None and keyword.arg not in _HARMLESS_KEYWORDS:
            new = copy.deepcopy(node)
            del new.keywords[index]
            yield Edit("keyword", node, ast.unparse(new), f"drop {keyword.arg}=")
    if isinstance(node.func, ast.Name) and (other := _SWAPPED_CALLS.get(node.func.id)) is not None:
        yield Edit("call", node.func, other, f"{node.func.id} to {other} of {_short(node)}")


def other_constant(place: Place) -> Iterator[Edit]:
    """A number moved, doubled or halved; a truth turned round."""
    node = place.node
    if not isinstance(node, ast.Constant):
        return
    value = node.value
    numbers: Sequence[object] = ()
    if isinstance(value, bool):
        numbers = (not value,)
    elif isinstance(value, int):
        numbers = (value + 1, value - 1) if 0 < value <= _SMALL else (value * 2 or 1, value // 2 or 1)
    elif isinstance(value, float):
        numbers = (value * 2 or 1.0, value / 2 or 1.0)
    for number in dict.fromkeys(numbers):
        yield Edit("constant", node, repr(number), f"{value!r} to {number!r}")


def shorter_text(place: Place) -> Iterator[Edit]:
    """A part of a composed key left out; the last clause of a query cut."""
    node = place.node
    if not isinstance(node, ast.expr) or not is_text(node) or isinstance(place.parent, ast.JoinedStr):
        return
    text = ast.unparse(node)
    for cut in _QUERY_CUTS:
        if cut in text:
            yield Edit(
                "query", node, text[: text.rindex(cut)] + text[-1], f"cut {text[text.rindex(cut) : -1]!r}"
            )
            break
    if isinstance(node, ast.JoinedStr):
        for index, part in enumerate(node.values):
            left = ast.JoinedStr([value for at, value in enumerate(node.values) if at != index])
            named = repr(part.value) if isinstance(part, ast.Constant) else ast.unparse(ast.JoinedStr([part]))
            yield Edit("text part", node, ast.unparse(left), f"drop part {index} {named}")


def smaller_collection(place: Place) -> Iterator[Edit]:
    """A member left out of a set, of the classes that are caught, or of a table of a module."""
    node, parent = place.node, place.parent if place.parents else place.node
    is_table = isinstance(node, ast.Tuple | ast.List) and (
        isinstance(parent, ast.ExceptHandler | ast.Compare)
        or callee(parent) in {"isinstance", "frozenset", "retry_if_exception_type"}
        or (place.runs_at_import and isinstance(parent, ast.Assign | ast.AnnAssign))
    )
    if not isinstance(node, ast.Set) and not is_table:
        return
    if isinstance(node, ast.Set | ast.Tuple | ast.List) and len(node.elts) > 1:
        for index, element in enumerate(node.elts):
            new = copy.deepcopy(node)
            del new.elts[index]
            text = ast.unparse(new)
            yield Edit("member", node, text, f"drop {_short(element)}")


def removed_statement(place: Place) -> Iterator[Edit]:
    """A statement left out: what is raised, awaited, called, stored or skipped."""
    node = place.node
    match node:
        case ast.Expr(value=ast.Await() | ast.Call()) | ast.Raise() | ast.Delete() | ast.AugAssign():
            yield Edit("statement", node, "pass", f"drop {_short(node)}")
        case ast.Continue() if _ends_its_loop(place):
            return
        case ast.Continue() | ast.Break():
            yield Edit("statement", node, "pass", f"drop {_short(node)}")
        case ast.Assign(targets=[ast.Attribute()]) if place.function.endswith("__init__"):
            return  # an object without one of its parts breaks at once, which proves nothing
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield Edit("statement", node, "pass", f"drop {_short(node)}")
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield Edit("return", node, "return None", f"nothing for {_short(value)}")


def _ends_its_loop(place: Place) -> bool:
    """Tell whether a loop's next round begins after a statement anyhow."""
    within: ast.AST = place.node
    for parent in reversed(place.parents):
        blocks = [
            block for _, block in ast.iter_fields(parent) if isinstance(block, list) and within in block
        ]
        is_last_handler = isinstance(within, ast.ExceptHandler)
        if any(block[-1] is not within for block in blocks if not is_last_handler):
            return False
        if isinstance(parent, ast.Try) and parent.orelse and within in parent.body:
            return False
        if isinstance(parent, ast.For | ast.AsyncFor | ast.While):
            return True
        within = parent
    return False


OPERATORS: tuple[Operator, ...] = (
    compared_otherwise,
    negated_condition,
    removed_not,
    joined_otherwise,
    calculated_otherwise,
    called_otherwise,
    other_constant,
    shorter_text,
    smaller_collection,
    removed_statement,
)


def _sign(operator: ast.cmpop) -> str:
    return ast.unparse(ast.Compare(ast.Name("a"), [operator], [ast.Name("b")]))[2:-2]


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= _SMALL else f"{text[:_SMALL]}…"
