"""An app of classic types: requests as copies, every way to answer, authorization levels."""

import json

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.route(route="request/{name}/{part?}", auth_level=func.AuthLevel.ANONYMOUS)
def request(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Answer with the request as it arrived."""
    seen = {
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers),
        "params": dict(req.params),
        "route_params": dict(req.route_params),
        "body": req.get_body().decode(),
        "function": context.function_name,
        "invocation": context.invocation_id,
        "trace_parent": context.trace_context.trace_parent,
    }
    return func.HttpResponse(json.dumps(seen), mimetype="application/json", status_code=201)


@app.route(route="text", auth_level=func.AuthLevel.ANONYMOUS, methods=["GET"])
async def text(req: func.HttpRequest) -> str:
    """Answer with a text."""
    return "Hello World!"


@app.generic_trigger(arg_name="req", type="httpTrigger", route="nothing", auth_level="anonymous")
def nothing(req: func.HttpRequest):  # type: ignore[no-untyped-def] # noqa: ANN201 -- without an annotation, as some are
    """Answer nothing, without an output to answer through."""


@app.route(route="raw", auth_level=func.AuthLevel.ANONYMOUS)
def raw(req: func.HttpRequest):  # type: ignore[no-untyped-def] # noqa: ANN201 -- same
    """Answer bytes, which an HTTP output does not take."""
    return b"bytes"


@app.route(route="cookies", auth_level=func.AuthLevel.ANONYMOUS)
def cookies(req: func.HttpRequest) -> func.HttpResponse:
    """Set two cookies."""
    response = func.HttpResponse("ok")
    response.headers.add(
        "Set-Cookie",
        "a=42; Domain=example.com; Expires=Thu, 12 Jan 2017 13:55:08 GMT; Path=/; "
        "Max-Age=10000000; Secure; HttpOnly",
    )
    response.headers.add("Set-Cookie", "b=43")
    return response


@app.route(route="fails", auth_level=func.AuthLevel.ANONYMOUS)
def fails(req: func.HttpRequest) -> str:
    """Raise."""
    raise ZeroDivisionError("division by zero")


@app.route(route="keyed")
def keyed(req: func.HttpRequest) -> str:
    """Want a function key."""
    return "a function's"


@app.route(route="guarded", auth_level=func.AuthLevel.ADMIN)
def guarded(req: func.HttpRequest) -> str:
    """Want the master key."""
    return "the administrator's"


@app.route(route="swallows", auth_level=func.AuthLevel.ANONYMOUS, methods=["POST"])
def swallows(req: func.HttpRequest) -> str:
    """Answer with the body's length."""
    return str(len(req.get_body()))
