"""Route templates of HTTP functions: parameters, constraints, defaults, optional and catch-all parts."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from local.host.paths import fold, split_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    type Constraint = Callable[[str], bool]


_SEGMENT_FLAGS = re.IGNORECASE | re.ASCII | re.DOTALL
"""Case counts for letters beyond ASCII, and a parameter takes line breaks like anything else."""


class RouteError(Exception):
    """A route template cannot be used."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A fixed part, matched without regard to the case of ASCII letters; `text` is folded."""

    text: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A named part."""

    name: str
    constraints: Sequence[Constraint] = ()
    default: str | None = None
    optional: bool = False
    catch_all: bool = False


type Part = Literal | Parameter


class Segment(NamedTuple):
    """Part of a path between two slashes; `pattern` for those of several parts."""

    parts: Sequence[Part]
    pattern: re.Pattern[str] | None

    @property
    def parameter(self) -> Parameter | None:
        """The parameter that is the whole segment."""
        only = self.parts[0] if len(self.parts) == 1 else None
        return only if isinstance(only, Parameter) else None

    @property
    def may_be_missing(self) -> bool:
        """Whether a path may end before this segment."""
        parameter = self.parameter
        return parameter is not None and (
            parameter.optional or parameter.catch_all or parameter.default is not None
        )


@dataclass(frozen=True, slots=True)
class Route:
    """A parsed template."""

    template: str
    segments: Sequence[Segment]

    def match(self, path: str) -> dict[str, str] | None:
        """Return the parameters of a raw (still percent-encoded) path, or None if it is another route's."""
        return self.match_parts(split_path(path))

    def match_parts(self, given: Sequence[str]) -> dict[str, str] | None:
        """Do as `match` does with a path that `split_path` took apart."""
        found: dict[str, str] = {}
        for index, segment in enumerate(self.segments):
            parameter = segment.parameter
            if parameter is not None and parameter.catch_all:
                return _take("/".join(given[index:]), parameter, found)
            if index >= len(given):
                if not segment.may_be_missing or parameter is None:
                    return None
                if parameter.default is not None:
                    found[parameter.name] = parameter.default
            elif not _match_segment(segment, given[index], found):
                return None
        return found if len(given) <= len(self.segments) else None

    @property
    def precedence(self) -> tuple[int, ...]:
        """Order routes as ASP.NET does: literals, then constrained, plain and catch-all parameters."""
        return tuple(_rank(segment) for segment in self.segments)


def parse_route(template: str) -> Route:
    """Parse a template such as `orders/{id:int}/{*rest}`.

    Raises:
        RouteError: It is not one, or names a constraint that does not exist.
    """
    segments = [_segment(text, template) for text in _split(template.strip("/"))]
    for segment in segments[:-1]:
        if segment.parameter is not None and segment.parameter.catch_all:
            raise RouteError(f"route '{template}': a catch-all parameter has to be the last part")
    names = [part.name for segment in segments for part in segment.parts if isinstance(part, Parameter)]
    if len({name.lower() for name in names}) != len(names):
        raise RouteError(f"route '{template}' has a parameter twice")
    return Route(template, segments)


def _take(value: str, parameter: Parameter, found: dict[str, str]) -> dict[str, str] | None:
    if not value:
        if parameter.default is not None:
            found[parameter.name] = parameter.default
        return found
    if not all(constraint(value) for constraint in parameter.constraints):
        return None
    found[parameter.name] = value
    return found


def _match_segment(segment: Segment, given: str, found: dict[str, str]) -> bool:
    parameter = segment.parameter
    if parameter is not None:
        return bool(given) and _take(given, parameter, found) is not None
    if segment.pattern is None:
        literal = segment.parts[0]
        return isinstance(literal, Literal) and literal.text == fold(given)
    match = segment.pattern.fullmatch(given)
    if match is None:
        return False
    parameters = [part for part in segment.parts if isinstance(part, Parameter)]
    return all(
        _take(value, part, found) is not None
        for part, value in zip(parameters, match.groups(), strict=True)
        if value is not None
    )


def _rank(segment: Segment) -> int:
    parameter = segment.parameter
    if parameter is None:
        return 1 if segment.pattern is None else 2
    if parameter.catch_all:
        return 5
    return 3 if parameter.constraints else 4


def _split(template: str) -> list[str]:
    """Split at the slashes outside of braces; a regex constraint may hold some."""
    segments, depth, current = [], 0, ""
    for character in template:
        depth += (character == "{") - (character == "}")
        if character == "/" and depth == 0:
            segments.append(current)
            current = ""
        else:
            current += character
    if depth != 0:
        raise RouteError(f"route '{template}': a brace is not closed")
    return [*segments, current] if template else []


def _segment(text: str, template: str) -> Segment:
    parts: list[Part] = []
    pattern = ""
    for piece in _pieces(text):
        if piece.startswith("{"):
            parameter = _parameter(piece[1:-1], template)
            parts.append(parameter)
            pattern = _with_parameter(pattern, optional=parameter.optional)
        else:
            parts.append(Literal(fold(piece)))
            pattern += re.escape(piece)
    if not parts:
        raise RouteError(f"route '{template}' has an empty part")
    return Segment(parts, re.compile(pattern, _SEGMENT_FLAGS) if len(parts) > 1 else None)


def _with_parameter(pattern: str, *, optional: bool) -> str:
    """Continue the pattern of a segment of several parts, which Azure splits from the right."""
    if not optional:
        return pattern + "(.+)"
    # Nothing but a dot before an optional parameter may be missing with it.
    before = pattern.replace("(.+)", "(.+?)")
    dotted = before.endswith(r"\.")
    return before.removesuffix(r"\.") + (r"(?:\.([^.]+))?" if dotted else "(.+)?")


def _pieces(text: str) -> Iterable[str]:
    depth, current = 0, ""
    for character in text:
        if character == "{" and depth == 0 and current:
            yield current
            current = ""
        depth += (character == "{") - (character == "}")
        current += character
        if character == "}" and depth == 0:
            yield current
            current = ""
    if current:
        yield current


def _parameter(text: str, template: str) -> Parameter:
    catch_all = text.startswith("*")
    name, *constraints = _outside_parentheses(text.lstrip("*"))
    name, _, default = name.partition("=")
    if constraints and "=" in constraints[-1] and not constraints[-1].endswith(")"):
        constraints[-1], _, default = constraints[-1].partition("=")
    last = constraints[-1] if constraints else name
    optional = last.endswith("?")
    if optional:
        name = name.removesuffix("?")
        constraints = [*constraints[:-1], constraints[-1].removesuffix("?")] if constraints else []
    if not re.fullmatch(r"[A-Za-z_][\w-]*", name):
        raise RouteError(f"route '{template}': '{name}' is not the name of a parameter")
    parsed = [_constraint(constraint, template) for constraint in constraints]
    return Parameter(name, parsed, default or None, optional, catch_all)


def _outside_parentheses(text: str) -> list[str]:
    parts, depth, current = [], 0, ""
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == ":" and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    return [*parts, current]


def _constraint(text: str, template: str) -> Constraint:
    name, _, rest = text.partition("(")
    arguments = rest.removesuffix(")")
    if name == "regex":
        expression = re.compile(arguments.replace("{{", "{").replace("}}", "}"), re.IGNORECASE)
        return lambda value: expression.search(value) is not None
    if name in _PLAIN and not rest:
        return _PLAIN[name]
    make = _WITH_NUMBERS.get(name)
    try:
        numbers = [int(number) for number in arguments.split(",")]
        if make is not None:
            return make(*numbers)
    except (ValueError, TypeError) as error:
        raise RouteError(f"route '{template}': constraint '{text}' has wrong arguments") from error
    raise RouteError(f"route '{template}': there is no constraint '{text}'")


def _parses(parse: Callable[[str], object]) -> Constraint:
    def accepts(value: str) -> bool:
        try:
            parse(value)
        except ValueError:
            return False
        return True

    return accepts


def _is_integer(bits: int) -> Constraint:
    limit = 1 << (bits - 1)
    return lambda value: (
        re.fullmatch(r"[+-]?\d+", value, re.ASCII) is not None and -limit <= int(value) < limit
    )


_PLAIN: dict[str, Constraint] = {
    "int": _is_integer(32),
    "long": _is_integer(64),
    "bool": lambda value: value.lower() in {"true", "false"},
    "datetime": _parses(datetime.fromisoformat),
    "decimal": lambda value: re.fullmatch(r"[+-]?\d*\.?\d+", value, re.ASCII) is not None,
    "double": _parses(float),
    "float": _parses(float),
    "guid": _parses(uuid.UUID),
    "alpha": lambda value: re.fullmatch("[A-Za-z]*", value) is not None,
    "required": bool,
}


def _length(low: int, high: int | None = None) -> Constraint:
    return lambda value: low <= len(value) <= (low if high is None else high)


def _integer_in(low: int | None, high: int | None) -> Constraint:
    is_long = _is_integer(64)

    def accepts(value: str) -> bool:
        return is_long(value) and (low is None or int(value) >= low) and (high is None or int(value) <= high)

    return accepts


_WITH_NUMBERS: dict[str, Callable[..., Constraint]] = {
    "length": _length,
    "minlength": lambda low: lambda value: len(value) >= low,
    "maxlength": lambda high: lambda value: len(value) <= high,
    "min": lambda low: _integer_in(low, None),
    "max": lambda high: _integer_in(None, high),
    "range": _integer_in,
}
