"""An app to run several instances of; each run leaves a line in the file that RECORD names."""

from __future__ import annotations

import asyncio
import json
import os
import time

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
_record = os.open(os.environ["RECORD"], os.O_WRONLY | os.O_APPEND)


def _note(**facts: object) -> None:
    # One write of a line is whole, also among several processes.
    os.write(_record, (json.dumps({"pid": os.getpid(), **facts}) + "\n").encode())


@app.route(route="work/{name}", methods=["GET"])
async def work(req: Request) -> Response:
    """Take a moment, and answer with who did it."""
    _note(request=req.path_params["name"])
    await asyncio.sleep(0.03)
    return Response(str(os.getpid()), media_type="text/plain")


@app.route(route="slow/{name}", methods=["GET"])
async def slow(req: Request) -> Response:
    """Take two seconds."""
    _note(request=req.path_params["name"])
    await asyncio.sleep(2)
    return Response(str(os.getpid()), media_type="text/plain")


@app.service_bus_queue_trigger(arg_name="message", queue_name="work", connection="SERVICEBUS")
async def takes(message: func.ServiceBusMessage) -> None:
    """Take a moment, and note that it is done."""
    await asyncio.sleep(0.2)
    _note(message=message.message_id, deliveries=message.delivery_count)


@app.timer_trigger(arg_name="timer", schedule="* * * * * *", use_monitor=False)
async def ticks(timer: func.TimerRequest) -> None:
    """Note the second."""
    _note(tick=int(time.time()))
