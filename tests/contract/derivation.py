"""Steps for operations that the scenario has none for, of what `tests.support.isolation` knows of each.

So a new capability has its examples as soon as its isolation is tested; a step of its own in the scenario
is for where an example should tell a story.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from tests.contract.scenario import STEPS, TENANT, Step
from tests.support.isolation import BODIES, NAMES, QUERIES, SETUP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shared.http.route import Route

_PLACE: Final = "tests/support/isolation.py"
_METHODS: Final = ("PUT", "POST", "PATCH", "GET", "DELETE")
"""What makes something comes before what reads it, and that before what removes it."""

_SETUP: Final = {step.operation: step for step in SETUP}
_ORDER: Final = list(_SETUP)


def derive_steps(routes: Iterable[Route], scenario: Iterable[Step] = STEPS) -> tuple[Step, ...]:
    """Make a step for each documented route that the scenario does not ask, in an order that makes them work.

    Args:
        routes: The app's routes.
        scenario: The steps that there are.

    Raises:
        LookupError: A name or a body is missing in `tests.support.isolation`.
    """
    known = {step.operation for step in scenario}
    missing = [route for route in routes if route.documented and route.name not in known]
    return tuple(_step(route) for route in sorted(missing, key=_turn))


def _turn(route: Route) -> tuple[int, int]:
    place = _ORDER.index(route.name) if route.name in _SETUP else len(_ORDER)
    return place, _METHODS.index(route.method)


def _step(route: Route) -> Step:
    learnt = {name: f"<{name}>" for step in SETUP for name in step.learns}
    names = {**learnt, **NAMES, "tenant_id": TENANT}
    if absent := set(re.findall(r"{(\w+)}", route.path)) - names.keys():
        raise LookupError(f"{route.name} needs {sorted(absent)} in NAMES of {_PLACE}")
    body = BODIES.get(route.name)
    if body is None and route.inputs.body is not None:
        raise LookupError(f"{route.name} needs a body in BODIES of {_PLACE}")
    query: dict[str, str] = dict(parse_qsl(QUERIES.get(route.name, "")))
    if route.inputs.query is not None and "limit" in route.inputs.query.model_fields:
        query["limit"] = "20"
    return Step(
        route.name,
        route.min_role,
        {name: names[name] for name in re.findall(r"{(\w+)}", route.path)},
        _filled(query, names),
        body=None if body is None else _filled(body, names),
        learns=_SETUP[route.name].learns if route.name in _SETUP else {},
    )


def _filled(value: Any, names: dict[str, str]) -> Any:  # noqa: ANN401  # JSON of any shape
    """Write names where `{name}` stands for one."""
    text = re.sub(r"{(\w+)}", lambda match: names.get(match[1], match[0]), json.dumps(value))
    return json.loads(text)
