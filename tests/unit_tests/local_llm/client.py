"""A client of the endpoint without a socket, and the clocks that it goes by."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from local.llm.app import build_app
from local.llm.endpoint import Endpoint

HELLO = [{"role": "user", "content": "hello world"}]
AZURE_PATH = "/openai/deployments/{}/chat/completions?api-version=2024-10-21"


@dataclass(slots=True)
class Model:
    """The endpoint, its clock, what it slept, and a client."""

    client: httpx.AsyncClient
    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    async def ask(self, **body: object) -> httpx.Response:
        """Ask on OpenAI's path; what is None is left out."""
        sent = {"model": "gpt-4o", "messages": HELLO} | body
        return await self.client.post(
            "/v1/chat/completions", json={name: value for name, value in sent.items() if value is not None}
        )

    async def ask_azure(self, deployment: str = "gpt-4o", **body: object) -> httpx.Response:
        """Ask on Azure's path."""
        return await self.client.post(AZURE_PATH.format(deployment), json={"messages": HELLO} | body)

    async def said(self, **body: object) -> Any:  # noqa: ANN401 - JSON
        """Ask and give the choice."""
        response = await self.ask(**body)
        assert response.status_code == 200, response.text
        return response.json()["choices"][0]

    async def refused(self, **body: object) -> dict[str, Any]:
        """Ask what is refused with a 400 and give the error."""
        response = await self.ask(**body)
        assert response.status_code == 400, response.text
        error: dict[str, Any] = response.json()["error"]
        return error

    async def tell(self, what: str, **body: object) -> httpx.Response:
        """Tell the endpoint what to do."""
        response = await self.client.post(f"/_local/{what}", json=body)
        assert response.status_code == 201, response.text
        return response

    async def served(self) -> Any:  # noqa: ANN401 - JSON
        """Ask the endpoint for its count."""
        return (await self.client.get("/_local/served")).json()


def open_model() -> Model:
    """Open the endpoint."""

    async def sleep(seconds: float) -> None:
        model.slept.append(seconds)

    endpoint = Endpoint(lambda: 1_770_000_000.0, lambda: model.now, sleep)
    transport = httpx.ASGITransport(build_app(endpoint))
    client = httpx.AsyncClient(transport=transport, base_url="http://llm", headers={"api-key": "local"})
    model = Model(client)
    return model


def chunks_of(response: httpx.Response) -> list[dict[str, Any]]:
    """Read the chunks of a stream that ends as it should."""
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]
