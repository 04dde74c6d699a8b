"""An app of what runs without a request; each run leaves a line in the file that RECORD names."""

from __future__ import annotations

import asyncio
import io
import json
import os
import time
from pathlib import Path
from typing import Any, List  # noqa: UP035 -- the runtime refuses list[...]

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


def _record(function: str, **facts: Any) -> None:  # noqa: ANN401 -- whatever JSON holds
    with Path(os.environ["RECORD"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"function": function, **facts}, default=str) + "\n")


def _has_failed_before(text: str) -> bool:
    lines = [json.loads(line) for line in Path(os.environ["RECORD"]).read_text().splitlines()]
    return len([line for line in lines if line.get("body") == text]) > 1


def _status(timer: func.TimerRequest) -> object:
    return timer.schedule_status  # type: ignore[attr-defined] # the declared type has less than what is passed


@app.timer_trigger(arg_name="timer", schedule="%TICK%", use_monitor=False)
def ticks(timer: func.TimerRequest) -> None:
    """Run on the schedule of a setting."""
    _record("ticks", past_due=timer.past_due, status=_status(timer))


@app.timer_trigger(arg_name="timer", schedule="0 0 3 1 1 *", run_on_startup=True)
def yearly(timer: func.TimerRequest) -> None:
    """Run once a year, and at each start."""
    _record("yearly", past_due=timer.past_due, status=_status(timer))


@app.timer_trigger(arg_name="timer", schedule="0 0 4 1 1 *")
@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:00")
def stubborn(timer: func.TimerRequest, context: func.Context) -> None:
    """Fail at each attempt but the last."""
    retry = context.retry_context
    _record("stubborn", count=retry.retry_count, limit=retry.max_retry_count, past_due=timer.past_due)
    if retry.retry_count < retry.max_retry_count:
        raise RuntimeError("again")


@app.blob_trigger(arg_name="blob", path="inbox/{tenant}/{name}.txt", connection="AzureWebJobsStorage")
@app.blob_output(arg_name="copy", path="outbox/{tenant}-{name}.copy", connection="AzureWebJobsStorage")
def takes_blob(blob: func.InputStream, copy: func.Out[bytes]) -> None:
    """Copy a blob, or fail if it says so."""
    content = blob.read()
    _record(
        "takes_blob",
        name=blob.name,
        uri=blob.uri,
        length=blob.length,
        metadata=blob.metadata,  # type: ignore[attr-defined] # the declared type has less than what is passed
        body=content.decode(),
    )
    if content == b"poison":
        raise ValueError("poison")
    if content == b"slow":
        time.sleep(0.5)
        _record("takes_blob", done=blob.name)
    copy.set(content)


@app.route(route="copies/{name}", methods=["GET"])
@app.blob_input(
    arg_name="copy", path="outbox/{name}", connection="AzureWebJobsStorage", data_type=func.DataType.BINARY
)
def copies(req: func.HttpRequest, copy: bytes) -> func.HttpResponse:
    """Answer with a copy, through an input binding."""
    return func.HttpResponse(copy, status_code=200 if copy else 404)


@app.service_bus_queue_trigger(arg_name="message", queue_name="%PLAIN_QUEUE%", connection="SERVICEBUS")
async def takes_message(message: func.ServiceBusMessage) -> None:
    """Take a message; fail the first time, exit or sleep, if it says so."""
    body = message.get_body().decode()
    _record(
        "takes_message",
        body=body,
        id=message.message_id,
        deliveries=message.delivery_count,
        properties=message.user_properties,
        content_type=message.content_type,
        correlation_id=message.correlation_id,
        enqueued=message.enqueued_time_utc,
    )
    if body.startswith("fail once") and not _has_failed_before(body):
        raise ValueError("once")
    if body == "exit":
        raise SystemExit(3)
    if body.startswith("sleep "):
        await asyncio.sleep(float(body.removeprefix("sleep ")))
        _record("takes_message", slept=body)


@app.service_bus_queue_trigger(
    arg_name="message", queue_name="sessions", connection="SERVICEBUS", is_sessions_enabled=True
)
async def takes_session(message: func.ServiceBusMessage) -> None:
    """Take a session's message."""
    body = message.get_body().decode()
    _record("takes_session", body=body, session=message.session_id)
    if body.startswith("sleep "):
        await asyncio.sleep(float(body.removeprefix("sleep ")))
        _record("takes_session", slept=body)
    if body.startswith("fail once") and not _has_failed_before(body):
        raise ValueError("once")


@app.service_bus_queue_trigger(
    arg_name="messages", queue_name="batches", connection="SERVICEBUS", cardinality="many"
)
def takes_batch(messages: List[func.ServiceBusMessage]) -> None:  # noqa: UP006 -- same
    """Take many messages at once."""
    _record(
        "takes_batch",
        bodies=[message.get_body().decode() for message in messages],
        properties=[message.user_properties for message in messages],
        deliveries=[message.delivery_count for message in messages],
    )
    if any(message.get_body() == b"fail" and message.delivery_count == 1 for message in messages):
        raise ValueError("a batch fails as a whole")


@app.route(route="send", methods=["POST"])
@app.service_bus_queue_output(arg_name="out", queue_name="%PLAIN_QUEUE%", connection="SERVICEBUS")
def send(req: func.HttpRequest, out: func.Out[str]) -> str:
    """Send the body as a message."""
    out.set(req.get_body().decode())
    return "OK"


@app.route(route="send-bytes", methods=["POST"])
@app.service_bus_queue_output(arg_name="out", queue_name="%PLAIN_QUEUE%", connection="SERVICEBUS")
def send_bytes(req: func.HttpRequest, out: func.Out[bytes]) -> str:
    """Send the body as it is."""
    out.set(req.get_body())
    return "OK"


@app.service_bus_queue_trigger(arg_name="message", queue_name="questions", connection="SERVICEBUS")
@app.service_bus_queue_output(arg_name="$return", queue_name="%PLAIN_QUEUE%", connection="SERVICEBUS")
def answers(message: func.ServiceBusMessage) -> str:
    """Answer one queue's message to another queue."""
    return f"answer to {message.get_body().decode()}"


@app.route(route="text", methods=["POST"])
@app.blob_output(arg_name="out", path="outbox/text", connection="AzureWebJobsStorage")
def put_text(req: func.HttpRequest, out: func.Out[str]) -> str:
    """Write a text."""
    out.set(req.get_body().decode())
    return "OK"


@app.route(route="file", methods=["POST"])
@app.blob_output(arg_name="out", path="outbox/file", connection="AzureWebJobsStorage")
def put_file(req: func.HttpRequest, out: func.Out[io.StringIO]) -> str:
    """Write what is like a file."""
    out.set(io.StringIO("like a file"))
    return "OK"


@app.route(route="returned", methods=["POST"], binding_arg_name="response")
@app.blob_output(arg_name="$return", path="outbox/returned", connection="AzureWebJobsStorage")
def put_returned(req: func.HttpRequest, response: func.Out[func.HttpResponse]) -> str:
    """Write what is returned, and answer nothing."""
    return "returned"


@app.route(route="text/{name}", methods=["GET"])
@app.blob_input(
    arg_name="blob", path="outbox/{name}", connection="AzureWebJobsStorage", data_type=func.DataType.STRING
)
def get_text(req: func.HttpRequest, blob: str) -> str:
    """Answer with a blob as a text."""
    return f"{type(blob).__name__}: {blob}"


@app.route(route="stream/{name}", methods=["GET"])
@app.blob_input(arg_name="blob", path="outbox/{name}", connection="AzureWebJobsStorage")
def get_stream(req: func.HttpRequest, blob: func.InputStream) -> str:
    """Answer with a blob that is read as a stream."""
    return blob.read().decode()


@app.timer_trigger(arg_name="timer", schedule="0 0 5 1 1 *", use_monitor=False)
@app.retry(
    strategy="exponential_backoff",
    max_retry_count="2",
    minimum_interval="00:00:00",
    maximum_interval="00:00:05",
)
def patient(timer: func.TimerRequest, context: func.Context) -> None:
    """Fail at each attempt."""
    _record("patient", count=context.retry_context.retry_count, at=time.monotonic())
    raise RuntimeError("always")
