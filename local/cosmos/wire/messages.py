"""Requests and responses of the protocol, apart from any server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from local.cosmos.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.cosmos.values import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Request:
    """A request; header names are in lower case, `path` is decoded."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Json:
        """Parse the body.

        Raises:
            CosmosError: 400.
        """
        try:
            parsed: Json = orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise bad_request(f"The request body is no valid JSON: {error}") from error
        return parsed

    def json_object(self) -> JsonObject:
        """Parse the body, which has to be an object.

        Raises:
            CosmosError: 400.
        """
        parsed = self.json()
        if not isinstance(parsed, dict):
            raise bad_request("The request body has to be a JSON object.")
        return parsed

    def flag(self, header: str) -> bool:
        """Tell whether a header says true."""
        return self.headers.get(header, "").lower() == "true"


@dataclass(slots=True)
class Response:
    """A response; `delay_s` and `drop` come from faults that were asked for."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    charge: float = 0
    delay_s: float = 0
    drop: bool = False


def json_response(status: int, value: Json, charge: float = 1.0, **headers: str) -> Response:
    """Build a response with a JSON body; underscores in header names stand for dashes."""
    return Response(
        status, orjson.dumps(value), {name.replace("_", "-"): text for name, text in headers.items()}, charge
    )
