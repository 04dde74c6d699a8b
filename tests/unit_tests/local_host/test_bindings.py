"""What bindings say, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from local.host.bindings import (
    BindingError,
    BlobBinding,
    BlobTrigger,
    Function,
    HttpResponseBinding,
    HttpTrigger,
    Queue,
    ServiceBusOutput,
    ServiceBusTrigger,
    Subscription,
    TimerTrigger,
    parse_function,
)
from local.host.invocation import FunctionMetadata
from local.host.settings import Settings

_SETTINGS = Settings({"Q": "orders", "AzureWebJobs.off.Disabled": "true"})


def _parse(*bindings: dict[str, Any], name: str = "work") -> Function:
    return parse_function(FunctionMetadata(name, "id", "function_app.py", bindings, None), _SETTINGS)


def test_an_http_function() -> None:
    function = _parse(
        {"type": "httpTrigger", "name": "req", "authLevel": "ADMIN", "methods": ["get"], "route": "a/{b}"},
        {"type": "http", "direction": "OUT", "name": "$return"},
        name="off",
    )
    assert function.trigger == HttpTrigger("req", "a/{b}", ("GET",), "admin")
    assert function.outputs == [HttpResponseBinding("$return")]
    assert function.disabled


def test_an_http_function_without_a_route_is_reached_by_its_name_with_every_method() -> None:
    trigger = _parse({"type": "httpTrigger", "name": "req"}).trigger
    assert isinstance(trigger, HttpTrigger)
    assert (trigger.route, trigger.auth_level) == ("work", "function")
    assert "PATCH" in trigger.methods


def test_a_queue_function() -> None:
    function = _parse(
        {
            "type": "serviceBusTrigger",
            "name": "m",
            "queueName": "%Q%",
            "connection": "BUS",
            "isSessionsEnabled": True,
            "cardinality": "MANY",
            "autoCompleteMessages": False,
            "dataType": "BINARY",
        },
        {"type": "serviceBus", "direction": "OUT", "name": "o", "queue_name": "%Q%", "connection": "BUS"},
        {"type": "serviceBus", "direction": "OUT", "name": "t", "topicName": "news", "connection": "BUS"},
    )
    assert function.trigger == ServiceBusTrigger(
        "m", Queue("orders"), "BUS", sessions=True, batch=True, auto_complete=False, binary=True
    )
    assert function.outputs == [ServiceBusOutput("o", "orders", "BUS"), ServiceBusOutput("t", "news", "BUS")]


def test_a_subscription_function() -> None:
    trigger = _parse(
        {
            "type": "serviceBusTrigger",
            "name": "m",
            "topicName": "t",
            "subscriptionName": "s",
            "autoComplete": True,
        }
    ).trigger
    assert trigger == ServiceBusTrigger("m", Subscription("t", "s"), "", auto_complete=True)
    assert str(Subscription("t", "s")) == "t/subscriptions/s"


def test_a_timer_and_a_blob_function() -> None:
    timer = {
        "type": "timerTrigger",
        "name": "t",
        "schedule": "0 * * * * *",
        "runOnStartup": True,
        "useMonitor": False,
    }
    assert _parse(timer).trigger == TimerTrigger("t", "0 * * * * *", run_on_startup=True, use_monitor=False)
    blob = {
        "type": "blobTrigger",
        "name": "b",
        "path": "c/{x}",
        "connection": "S",
        "source": "LogsAndContainerScan",
    }
    function = _parse(
        blob,
        {
            "type": "blob",
            "direction": "IN",
            "name": "i",
            "path": "/c/i",
            "connection": "S",
            "dataType": "STRING",
        },
        {"type": "blob", "direction": "OUT", "name": "o", "path": "c/o", "connection": "S"},
    )
    assert function.trigger == BlobTrigger("b", "c/{x}", "S")
    assert function.inputs == [BlobBinding("i", "c/i", "S", text=True)]
    assert function.outputs == [BlobBinding("o", "c/o", "S")]


_CLIENT = {"supportsDeferredBinding": True}  # as the worker's extensions write it, in whatever case


@pytest.mark.parametrize(
    ("bindings", "reason"),
    [
        ([{"type": "queueTrigger", "name": "q"}], "binding type 'queueTrigger' is not supported"),
        ([{"type": "http", "name": "x", "direction": "out"}], "exactly one trigger and has 0"),
        ([{"type": "httpTrigger", "name": "r", "authLevel": "user"}], "authLevel 'user'"),
        ([{"type": "blobTrigger", "name": "b", "path": "c/x", "source": "EventGrid"}], "source EventGrid"),
        ([{"type": "timerTrigger", "name": "t"}], "timerTrigger binding 't' has no schedule"),
        ([{"type": "timerTrigger", "name": "t", "properties": _CLIENT}], "SDK type"),
        ([{"type": "blobTrigger", "name": "b", "path": "c/x", "properties": _CLIENT}], "'b' of blobTrigger"),
        (
            [
                {"type": "warmupTrigger", "name": "w"},
                {"type": "blob", "name": "client", "path": "c/x", "direction": "IN", "properties": _CLIENT},
            ],
            "the parameter 'client' of blob is an SDK type",
        ),
        (
            [{"type": "httpTrigger", "name": "r"}, {"type": "table", "name": "t", "direction": "in"}],
            "input binding 't' of type 'table'",
        ),
        (
            [{"type": "httpTrigger", "name": "r"}, {"type": "queue", "name": "q", "direction": "out"}],
            "output binding 'q' of type 'queue'",
        ),
    ],
)
def test_what_is_not_supported_is_refused_by_name(bindings: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(BindingError, match=f"The 'work' function is in error: .*{reason}"):
        _parse(*bindings)
