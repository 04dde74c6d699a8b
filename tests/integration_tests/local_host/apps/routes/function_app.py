"""An app of routes: each function answers with its name and its route's parameters."""

import json
import logging
from collections.abc import Callable

import azure.functions as func
from azure.functions.warmup import WarmUpContext

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

ROUTES = {
    "latest": "orders/latest",
    "by_number": "orders/{number:int:min(10)}",
    "by_name": "orders/{name:alpha:length(3,5)}",
    "anything": "orders/{*rest}",
    "pages": "pages/{size:int}/{page:int=1}",
    "maybe": "maybe/{first}/{second?}",
    "id": "ids/{id:guid}",
    "flag": "flags/{flag:bool}",
    "day": "days/{day:datetime}",
    "amount": "amounts/{amount:decimal}",
    "code": "codes/{code:regex(^[A-Z]{{2}}\\d+$)}",
    "short": "short/{text:maxlength(3)}",
    "percent": "percent/{value:range(0,100)}",
    "file": "files/{name}.{extension}",
    "page": "texts/{name}.{extension?}",
    "range": "ranges/{from}-{to}",
}


def _handler(name: str) -> Callable[[func.HttpRequest], str]:
    def handler(req: func.HttpRequest) -> str:
        """Tell who took the request."""
        return json.dumps({"function": name, **dict(req.route_params)})

    handler.__name__ = name
    return handler


for function, template in ROUTES.items():
    app.route(route=template, methods=["GET"])(_handler(function))


@app.warm_up_trigger("warm")
def warms(warm: WarmUpContext) -> None:
    """Say that it ran."""
    logging.info("the instance is warm")  # noqa: LOG015 -- as functions do


@app.route(route="disguised", methods=["GET"])
def disguised(req: func.HttpRequest) -> str:
    """Log under the worker's name, and under one's own."""
    logging.getLogger("azure_functions_worker").info("told by the worker")
    logging.getLogger("of.the.app").info("told by the app")
    return "OK"
