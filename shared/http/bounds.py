"""Bounds of a route's body and answer, checked before the work that they bound begins.

JSON that is small in bytes can be large in objects: a megabyte of lists takes a second to validate, while
every other request waits. A scan of the bytes, some milliseconds for a megabyte, tells beforehand.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from shared.errors import APIError, MalformedRequestError
from shared.validation import refused_field

PARSERS_LEVELS = 200
"""Beyond them pydantic's parser takes a text for no JSON."""

COST_BYTES = 16 * 1024
"""Bytes of a body that count as one more request in the caller's rate."""

_STRUCTURE = b"[]{},"
_OTHER_BYTES = bytes(set(range(256)) - set(_STRUCTURE))
_OPENING = frozenset(b"[{")
_CLOSING = frozenset(b"]}")


class BodyTimeoutError(APIError):
    """The body did not come in time; nothing was done."""

    status = 408

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The body did not come within {seconds:g} s")


class AnswerTooLargeError(APIError):
    """The answer would be larger than the route's answers may be; the same question for less is answered."""

    status = 422

    def __init__(self, most: int) -> None:
        super().__init__(
            f"The answer would have more than {most} bytes: ask for less at once", {"max_bytes": most}
        )


@dataclass(frozen=True, slots=True)
class RouteBounds:
    """Bounds of one route; the defaults hold where it declares no others.

    Attributes:
        body_bytes: Of the body as it is sent; more is 413.
        body_seconds: Until all of the body is there; later is 408.
        containers: Objects and lists in the body; more is 422.
        levels: How deep these are nested; more is 422. Cosmos DB takes 128, and items put some around it.
        values: Members of all objects and lists in the body; more is 422.
        answer_bytes: Of the answer's body; more is 422.
        one_at_a_time: Whether a tenant's requests wait for each other on an instance.
    """

    body_bytes: int = 1024 * 1024
    body_seconds: float = 20.0
    containers: int = 10_000
    levels: int = 64
    values: int = 100_000
    answer_bytes: int = 8 * 1024 * 1024
    one_at_a_time: bool = False

    def describe(self, *, has_body: bool) -> dict[str, float | bool]:
        """Describe them for the API document."""
        bounds = asdict(self)
        if not has_body:
            bounds = {name: bounds[name] for name in ("answer_bytes", "one_at_a_time")}
        return {name: bound for name, bound in bounds.items() if bound is not False}

    def check_json(self, content: bytes) -> None:
        """Refuse a body that holds too much; whether it is JSON is told later.

        Raises:
            ValidationError: It holds too many objects, lists or values, or is nested too deep.
            MalformedRequestError: It is nested deeper than any parser takes.
        """
        containers = content.count(b"[") + content.count(b"{")
        commas = content.count(b",")
        if containers <= min(self.containers, self.levels) and commas + containers <= self.values:
            return
        structure = _structure(content)
        containers = structure.count(b"[") + structure.count(b"{")
        if containers > self.containers:
            raise refused_field("body", f"holds more than {self.containers} objects and lists")
        if structure.count(b",") + containers > self.values:
            raise refused_field("body", f"holds more than {self.values} values")
        levels = _count_levels(structure)
        if levels > PARSERS_LEVELS:
            raise MalformedRequestError("The body is not valid JSON")
        if levels > self.levels:
            raise refused_field("body", f"is nested more than {self.levels} levels deep")


def request_cost(content: bytes) -> int:
    """Weigh a body, in requests: what it costs grows with its bytes."""
    return len(content) // COST_BYTES


def _structure(content: bytes) -> bytes:
    """Return the brackets, braces and commas that stand outside of strings."""
    plain = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(plain.split(b'"')[::2]).translate(None, _OTHER_BYTES)


def _count_levels(structure: bytes) -> int:
    deepest = level = 0
    for byte in structure.replace(b",", b""):
        if byte in _OPENING:
            level += 1
            deepest = max(deepest, level)
        elif byte in _CLOSING:
            level -= 1
    return deepest
