"""The whole app as it is, and beside it a route that switches a sampler of its CPU time on and off.

Every 2 ms of CPU that the process has used, a signal looks at what runs: the innermost frame that belongs to
one of the parts below counts. What an SDK calls counts for whoever called the SDK.
"""

import importlib.util
import json
import os
import signal
from collections import Counter
from pathlib import Path
from types import FrameType, ModuleType

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response

ROOT = Path(__file__).parents[3]
INTERVAL_SECONDS = 0.002
PARTS = (
    (
        "store",
        (
            "/azure/cosmos/",
            "/azure/core/",
            "/tenantry_client/cosmos/",
            "/shared/cosmos/",
            "/shared/resilience/azure_transport",
        ),
    ),
    ("model", ("/openai/", "/httpx2/", "/shared/llm/", "/tiktoken/")),
    ("ledger", ("/shared/tokens/",)),
    ("chat", ("/functions/chat/", "/shared/prompts/", "/shared/caching/")),
    ("log", ("/shared/logging/", "/shared/telemetry/")),
    ("edge", ("/shared/http/", "/shared/tenancy/")),
    ("retries", ("/shared/resilience/",)),
    ("host", ("/local/host/", "/azure_functions_runtime", "/uvicorn/", "/starlette/", "/azurefunctions/")),
    ("connections", ("/aiohttp/", "/anyio/")),
)
OTHER = "event loop"

_samples: Counter[str] = Counter()


def _sample(_: int, frame: FrameType | None) -> None:
    while frame is not None:
        file = frame.f_code.co_filename
        for part, places in PARTS:
            if any(place in file for place in places):
                _samples[part] += 1
                return
        frame = frame.f_back
    _samples[OTHER] += 1


def _load_the_app() -> ModuleType:
    """Load the app's own module, whose name this one has here."""
    spec = importlib.util.spec_from_file_location("whole_function_app", ROOT / "function_app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


app: func.FunctionApp = _load_the_app().app


@app.route(route="bench/sampler/{wanted}", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
async def sampler(req: Request) -> Response:
    """Switch it on, or off: then it answers what it has counted, and the process that it counted in."""
    is_on = req.path_params["wanted"] == "on"
    signal.signal(signal.SIGPROF, _sample)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_SECONDS if is_on else 0, INTERVAL_SECONDS if is_on else 0)
    counted = dict(_samples)
    _samples.clear()
    return Response(json.dumps({"pid": os.getpid(), "samples": counted}), media_type="application/json")
