"""What callers send and get about token budgets beside `shared.tokens.wire`."""

from __future__ import annotations

from typing import Literal

from shared.http import ParameterModel
from shared.tokens.wire import AppId


class StatusQuery(ParameterModel):
    """`GET /tokens/status`: the application that asks."""

    app_id: AppId


class LockQuery(ParameterModel):
    """`POST /tokens/lock`: with `strict=true` a refusal is a 429 instead of a 200 that says so."""

    strict: Literal["true", "false"] = "false"
