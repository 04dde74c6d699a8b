"""Bodies of other types than JSON: as a whole the field that a request's model names for them."""

from __future__ import annotations

from collections.abc import Mapping  # pydantic reads the model's annotations
from typing import ClassVar

import pytest
from pydantic import Field

from shared.http.models import ReplyModel, RequestModel
from shared.http.openapi import build_openapi
from shared.http.routes import Routes
from shared.tenancy.context import Role, TenantContext
from tests.support.fakes import Call, RouteClient, tenant_context
from tests.unit_tests.http.test_pipeline import Services


class TableRequest(RequestModel):
    """A table.

    Attributes:
        csv: Its rows.
    """

    whole_bodies: ClassVar[Mapping[str, str]] = {"text/csv": "csv"}

    csv: str = Field(min_length=1, max_length=9)


class TableReply(ReplyModel):
    """The table.

    Attributes:
        csv: Its rows.
    """

    csv: str


USER = {"authorization": "Bearer user"}


@pytest.fixture
def services() -> Services:
    services = Services()
    services.authenticator.add("user", tenant_context("acme"))
    routes = Routes(services, "tables")

    @routes.post("v1/tables", min_role=Role.USER)
    async def keep_table(tenant: TenantContext, table: TableRequest) -> TableReply:  # its kind
        """Keep a table."""
        return TableReply(csv=table.csv)

    return services


@pytest.mark.parametrize(
    ("kind", "content", "status"),
    [
        ("text/csv", b"a,b", 200),
        ("Text/CSV; charset=utf-8", b"a,b", 200),
        ("application/json", b'{"csv": "a,b"}', 200),
        ("", b'{"csv": "a,b"}', 200),
        ("text/plain", b"a,b", 400),
        ("", b"a,b", 400),
        ("text/csv", b"", 422),
        ("text/csv", b"a" * 10, 422),
        ("text/csv", b"\xff", 400),
    ],
)
async def test_a_body_is_read_as_what_it_is_called(
    services: Services, kind: str, content: bytes, status: int
) -> None:
    headers = {**USER, **({"content-type": kind} if kind else {})}

    answer = await RouteClient(services).call("keep_table", Call(headers=headers, body=content))

    assert answer.status == status
    if status == 200:
        assert answer.json() == {"csv": "a,b"}


def test_the_api_document_shows_each_type(services: Services) -> None:
    document = build_openapi(services.routes, "1")

    content = document["paths"]["/api/v1/tables"]["post"]["requestBody"]["content"]
    assert content.keys() == {"application/json", "text/csv"}
    assert content["text/csv"]["schema"] == {"type": "string", "minLength": 1}
