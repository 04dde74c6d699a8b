"""Nothing of a refused request survives it: no request, none of its models, not the error that refused it."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel
from starlette.requests import Request

from shared.errors import APIError
from shared.http.pipeline import RequestInProgress, serve
from tests.support.cpu_time import collector_at_rest
from tests.support.fakes import request_of
from tests.support.soak import SOAK, sized
from tests.support.whole_app import whole_app
from tests.unit_tests.whole_app.refusals import refusals, set_up

if TYPE_CHECKING:
    from tests.support.whole_app import WholeApp
    from tests.unit_tests.whole_app.refusals import Refusal

pytestmark = sized(600)

TIMES: Final = 50 if SOAK else 20
LEFT: Final = (Request, RequestInProgress, APIError, BaseModel)


async def refuse(app: WholeApp, refusal: Refusal, times: int) -> list[weakref.ref[Request]]:
    """Send one call again and again; returns the requests, of which none should be alive."""
    route = app.client.route(refusal.route)
    sent: list[weakref.ref[Request]] = []
    for _ in range(times):
        request = request_of(route, refusal.call)
        sent.append(weakref.ref(request))
        response = await serve(route, app.runtime, request)
        assert response.status_code in {*range(200, 300), *range(400, 423)}, (str(refusal), response.body)
        app.clock.advance(0.01)
    return sent


def standing() -> Counter[str]:
    """Count what is alive of what requests are made of, by type."""
    return Counter(type(one).__name__ for one in gc.get_objects() if isinstance(one, LEFT))


async def test_nothing_of_a_refused_request_survives_it() -> None:
    async with whole_app() as app:
        callers = await set_up(app)
        cases = list(refusals(app, callers))
        for refusal in cases:
            await refuse(app, refusal, 1)  # what is loaded once and for all
        kept: dict[str, int] = {}
        with collector_at_rest():
            before = standing()
            for refusal in cases:
                sent = await refuse(app, refusal, TIMES if refusal.kind.startswith("the ") else 3)
                if any(one() is not None for one in sent):
                    gc.collect()
                if alive := sum(one() is not None for one in sent):
                    kept[str(refusal)] = alive
            gc.collect()
            after = standing()
        assert kept == {}
        grown = {name: count for name, count in (after - before).items() if count > TIMES}
        assert grown == {}
    assert len(cases) > 400


async def test_nothing_of_a_refused_request_waits_for_the_collector() -> None:
    """What it would come for once in a thousand requests are a thousand bodies of a megabyte."""
    async with whole_app() as app:
        callers = await set_up(app)
        cases = list(refusals(app, callers))
        for refusal in cases:
            await refuse(app, refusal, 1)
        kept: dict[str, int] = {}
        gc.collect()
        gc.disable()
        try:
            for refusal in cases:
                sent = await refuse(app, refusal, 2)
                if alive := sum(one() is not None for one in sent):
                    kept[str(refusal)] = alive
        finally:
            gc.enable()
    assert kept == {}
