"""A small change of a module's source, and where it may be made."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

type Spanned = ast.expr | ast.stmt

_UNSEEN_FUNCTIONS = frozenset({"__repr__", "__str__"})
_LOGGERS = frozenset({"_logger", "logger", "_log", "log"})
DESCRIBING_KEYWORDS = frozenset({"description", "examples", "title", "summary", "json_schema_extra", "name"})
_ANNOTATIONS = frozenset({"annotation", "returns", "type_params", "decorator_list"})


@dataclass(frozen=True, slots=True)
class Edit:
    """One node of a module, replaced.

    Attributes:
        operator: The kind of the change.
        node: What is replaced.
        text: What stands there instead.
        change: The change in words, apart from every other of the same kind on the line.
    """

    operator: str
    node: Spanned
    text: str
    change: str


@dataclass(frozen=True, slots=True)
class Place:
    """A node, with what stands around it.

    Attributes:
        node: The node.
        parents: The nodes around it, the outermost first.
    """

    node: ast.AST
    parents: tuple[ast.AST, ...]

    @property
    def parent(self) -> ast.AST:
        """Return what it stands in."""
        return self.parents[-1]

    @property
    def function(self) -> str:
        """Return the dotted name of the function or class around it; "" at the module's level."""
        named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        return ".".join(node.name for node in self.parents if isinstance(node, named))

    @property
    def runs_at_import(self) -> bool:
        """Tell whether it stands outside of every function."""
        functions = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        return not any(isinstance(node, functions) for node in self.parents)

    @property
    def statement(self) -> ast.stmt:
        """Return the innermost statement that holds it, itself included."""
        around = (*self.parents, self.node)
        return next(node for node in reversed(around) if isinstance(node, ast.stmt))


@dataclass(frozen=True)
class Source:
    """Text of a module, in which nodes can be replaced."""

    path: str
    text: str

    @cached_property
    def lines(self) -> list[bytes]:
        """Return its lines as bytes, since that is what columns of nodes count."""
        return self.text.encode().splitlines(keepends=True)

    @cached_property
    def tree(self) -> ast.Module:
        """Return its syntax."""
        return ast.parse(self.text)

    def line(self, number: int) -> str:
        """Return one line, from 1, without what surrounds it."""
        return self.lines[number - 1].decode().strip()

    def apply(self, edit: Edit) -> str:
        """Return the text with one node replaced."""
        node = edit.node
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or 0
        start = sum(len(line) for line in self.lines[: node.lineno - 1]) + node.col_offset
        end = sum(len(line) for line in self.lines[: end_line - 1]) + end_column
        whole = b"".join(self.lines)
        return (whole[:start] + edit.text.encode() + whole[end:]).decode()

    def places(self) -> Iterator[Place]:
        """Yield every node in which a fault would be one of what the module does."""
        yield from _walk(self.tree, ())


def is_text(node: ast.AST) -> bool:
    """Tell whether a node is a literal text, with values in it or without."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def callee(node: ast.AST) -> str:
    """Return the last name of what a call calls; "" of anything else."""
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _walk(node: ast.AST, parents: tuple[ast.AST, ...]) -> Iterator[Place]:
    if _is_excluded(node):
        return
    yield Place(node, parents)
    within = (*parents, node)
    for name, value in ast.iter_fields(node):
        if name in _ANNOTATIONS and not _holds_routes(name, value):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_only_text(node, name, child):
                yield from _walk(child, within)


def _holds_routes(name: str, value: object) -> bool:
    """Tell whether these are decorators that say who may call what, as those of routes do."""
    return (
        name == "decorator_list"
        and isinstance(value, list)
        and any(isinstance(one, ast.Call) and "route" in ast.unparse(one.func) for one in value)
    )


def _is_excluded(node: ast.AST) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.TypeAlias() | ast.Pass() | ast.Assert():
            excluded = True
        case ast.Expr(value=ast.Constant()) | ast.Raise(exc=ast.Call(func=ast.Name(id="AssertionError"))):
            excluded = True
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            excluded = name in _UNSEEN_FUNCTIONS
        case ast.ClassDef(bases=bases):
            excluded = any("Protocol" in ast.unparse(base) for base in bases)
        case ast.If(test=test):
            excluded = ast.unparse(test).endswith("TYPE_CHECKING")
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            excluded = name in _LOGGERS
        case ast.Assign(targets=[ast.Name(id="__slots__")]):
            excluded = True
        case ast.Assign(targets=[ast.Name(id="problem" | "message" | "reason")], value=value):
            excluded = is_text(value)
        case _:
            excluded = callee(node) in {"NewType", "TypeVar", "get_logger"}
    return excluded


def _is_only_text(parent: ast.AST, field: str, child: ast.AST) -> bool:
    """Tell whether a child is what people read, or types: messages of errors, descriptions, casts."""
    match parent, child:
        case ast.Call(), ast.keyword(arg=name):
            return name in DESCRIBING_KEYWORDS
        case ast.Call(), _ if callee(parent) == "cast":
            return bool(parent.args) and child is parent.args[0]
        case ast.Call(), _ if field == "args" and is_text(child):
            return callee(parent).endswith(("Error", "Group", "__init__"))
        case ast.keyword(arg="detail" | "message"), _:
            return is_text(child)
        case ast.Raise(), _:
            return field == "cause"
        case _:
            return False
