"""azure-functions at the speed of a test that opens an app: its bindings are made when they are asked for.

An app has more than a hundred routes. The library describes the bindings of each as it is declared, for two
milliseconds in all, and only the host, or a test of timers and queues, ever asks what they are.
"""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import TYPE_CHECKING, Any

import azure.functions as func
from azure.functions.decorators.blob import BlobTrigger
from azure.functions.decorators.function_app import FunctionBuilder
from azure.functions.decorators.http import HttpOutput, HttpTrigger
from azure.functions.decorators.servicebus import ServiceBusQueueTrigger
from azure.functions.decorators.timer import TimerTrigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.functions.decorators.function_app import Function

_bind_route = func.Blueprint.route


class _LateRoute(FunctionBuilder):
    """A function of a route whose bindings are made as it is built."""

    def __init__(self, declared: dict[str, Any], function: Callable[..., Any]) -> None:
        self._declared = declared
        self._handler = function

    def build(self, auth_level: func.AuthLevel | None = None) -> Function:
        blueprint = func.Blueprint()  # type: ignore[no-untyped-call]  # the library's
        _bind_route(blueprint, **self._declared)(self._handler)
        [builder] = blueprint._function_builders  # noqa: SLF001  # where the library keeps them
        return builder.build(auth_level)


def _route(self: func.Blueprint, **declared: Any) -> Callable[[Callable[..., Any]], None]:  # noqa: ANN401  # the library's
    def keep(function: Callable[..., Any]) -> None:
        self._function_builders.append(_LateRoute(declared, function))

    return keep


def _read_constructors_once() -> None:
    """Keep the signatures of the bindings' constructors, which the library reads nine times for each."""
    for binding in (HttpTrigger, HttpOutput, ServiceBusQueueTrigger, TimerTrigger, BlobTrigger):
        for kind in binding.__mro__:
            wrapped = vars(kind).get("__init__")
            while isinstance(wrapped, FunctionType) and "__signature__" not in vars(wrapped):
                wrapped.__dict__["__signature__"] = inspect.signature(wrapped)
                wrapped = inspect.getclosurevars(wrapped).nonlocals.get("func")


def bind_late() -> None:
    """Let every app that is opened from now on make the bindings of its routes when they are asked for."""
    _read_constructors_once()
    func.Blueprint.route = _route  # type: ignore[method-assign, assignment]  # no constant of our own
