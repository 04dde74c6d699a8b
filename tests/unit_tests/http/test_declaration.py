"""The declaration of a route: a handler's inputs by their types, and refusals while the app is imported."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel

from shared.http.inputs import IfMatch, OperationId, RouteDeclarationError
from shared.http.models import PathModel, QueryModel, ReplyModel, RequestModel
from shared.http.routes import LONGEST_ANSWER_SECONDS, Routes
from shared.resilience.deadlines import remaining_seconds
from shared.tenancy.context import PlatformContext, Role, TenantContext
from tests.support.fakes import Call, RouteClient, platform_context, tenant_context
from tests.unit_tests.http.test_pipeline import Services


class ShelfPath(PathModel):
    shelf_id: str


class ShelfQuery(QueryModel):
    color: str = "any"


class ShelfRequest(RequestModel):
    id: str | None = None
    books: int = 0


class LaxRequest(BaseModel):
    books: int = 0


class ShelfReply(ReplyModel):
    text: str


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture
def routes(services: Services) -> Routes:
    return Routes(services, "shelves")


async def test_arguments_are_filled_by_their_types_whatever_their_names_are(
    services: Services, routes: Routes
) -> None:
    @routes.post("v1/shelves/{shelf_id}", min_role=Role.USER)
    async def fill_shelf(
        books: ShelfRequest, of: IfMatch | None, where: ShelfPath, who: TenantContext, which: ShelfQuery
    ) -> ShelfReply:
        """Fill a shelf."""
        return ShelfReply(text=f"{who.tenant_id} {where.shelf_id} {which.color} {books.books} {of}")

    user = services.authenticator.add("user", tenant_context("acme"))
    call = Call({"shelf_id": "a"}, "color=red", user | {"if-match": '"1"'}, b'{"books": 3}')

    answer = await RouteClient(services).call("fill_shelf", call)

    assert answer.json() == {"text": 'acme a red 3 "1"'}


async def test_a_handler_without_use_for_its_path_declares_it(services: Services, routes: Routes) -> None:
    @routes.get("v1/shelves/{shelf_id}", min_role=Role.USER, path=ShelfPath)
    async def show_shelf(tenant: TenantContext) -> ShelfReply:
        """Show a shelf."""
        return ShelfReply(text=tenant.tenant_id)

    user = services.authenticator.add("user", tenant_context("acme"))
    client = RouteClient(services)

    assert (await client.call("show_shelf", Call({"shelf_id": "a"}, headers=user))).status == 200
    assert (await client.call("show_shelf", Call({"shelf_id": "a", "b": "c"}, headers=user))).status == 422


@pytest.mark.parametrize(("annotation", "statuses"), [("union", [200, 200]), ("tenant", [200, 422])])
async def test_who_is_served_is_told_by_the_context_that_is_taken(
    services: Services, routes: Routes, annotation: str, statuses: list[int]
) -> None:
    async def show_any(caller: TenantContext | PlatformContext) -> ShelfReply:
        """Show a shelf."""
        return ShelfReply(text=caller.principal)

    async def show_own(tenant: TenantContext) -> ShelfReply:
        """Show a shelf."""
        return ShelfReply(text=tenant.principal)

    handler = {"union": show_any, "tenant": show_own}[annotation]
    routes.get("v1/shelves", min_role=Role.USER)(handler)
    callers = [
        services.authenticator.add("user", tenant_context("acme")),
        services.authenticator.add("admin", platform_context()),
    ]
    client = RouteClient(services)

    answers = [await client.call(handler.__name__, Call(headers=caller)) for caller in callers]

    assert [answer.status for answer in answers] == statuses


async def needs_a_number(count: int) -> None: ...
async def needs_a_context_by_another_name(tenant: object) -> None: ...
async def has_no_annotation(tenant) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001  # what is refused
async def takes_a_bare_etag(etag: IfMatch) -> None: ...
async def takes_a_lax_body(body: LaxRequest) -> None: ...
async def takes_two_bodies(one: ShelfRequest, two: ShelfRequest) -> None: ...
async def takes_two_queries(one: ShelfQuery, two: ShelfQuery) -> None: ...
async def takes_a_path(path: ShelfPath) -> None: ...
async def takes_a_body(body: ShelfRequest) -> None: ...
async def takes_a_caller(caller: TenantContext) -> None: ...
async def takes_the_platform(platform: PlatformContext) -> None: ...
async def takes_an_operation_id(operation_id: OperationId | None) -> None: ...


def user(method: str, route: str = "v1/shelves", /, **declared: Any) -> tuple[str, str, dict[str, Any]]:  # noqa: ANN401  # what a declaration takes
    return method, route, {"min_role": Role.USER} | declared


class OtherPath(PathModel):
    book_id: str


@pytest.mark.parametrize(
    ("handler", "declared", "problem"),
    [
        (needs_a_number, user("get"), "cannot fill 'count: int'; allowed are a TenantContext"),
        (needs_a_context_by_another_name, user("get"), "cannot fill 'tenant: object'"),
        (has_no_annotation, user("get"), "cannot fill 'tenant"),
        (takes_a_bare_etag, user("put"), "IfMatch | None"),
        (takes_a_lax_body, user("post"), "as strict as one"),
        (takes_two_bodies, user("post"), "'one' and 'two' are both body"),
        (takes_two_queries, user("get"), "'one' and 'two' are both query"),
        (takes_a_path, user("get"), r"the path has the parameters \[\], its model \['shelf_id'\]"),
        (takes_a_path, user("get", "v1/{book_id}"), r"parameters \['book_id'\], its model \['shelf_id'\]"),
        (takes_a_path, user("get", "v1/{shelf_id}", path=OtherPath), "declares another path"),
        (takes_a_body, user("post", "v1/shelves/{shelf_id}"), r"parameters \['shelf_id'\], its model \[\]"),
        (takes_a_body, user("post", id_field="no_field"), "no field 'no_field'"),
        (takes_a_caller, user("get", min_role=None), "an open route has no caller"),
        (takes_the_platform, user("get"), "needs min_role=Role.ADMIN"),
        (takes_an_operation_id, user("put"), "only a POST"),
        (takes_an_operation_id, user("post", secret=True), "only a POST without a secret"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused_and_says_why(
    routes: Routes,
    handler: Callable[..., Awaitable[None]],
    declared: tuple[str, str, dict[str, Any]],
    problem: str,
) -> None:
    method, path, facts = declared

    with pytest.raises(RouteDeclarationError, match=f"^{handler.__name__}: .*{problem.replace('|', '[|]')}"):
        getattr(routes, method)(path, **facts)(handler)


def test_what_is_allowed_is_told_in_full(routes: Routes) -> None:
    with pytest.raises(RouteDeclarationError) as refused:
        routes.get("v1/shelves", min_role=Role.USER)(needs_a_number)

    for kind in ("TenantContext", "PlatformContext", "PathModel", "QueryModel", "RequestModel"):
        assert kind in str(refused.value)


async def test_an_answer_may_take_30_seconds_unless_its_route_says_otherwise_and_185_at_most(
    services: Services, routes: Routes
) -> None:
    left: list[float | None] = []

    @routes.get("v1/usual", min_role=None)
    async def usual() -> None:
        """Take as long as most."""
        left.append(remaining_seconds())

    @routes.get("v1/long", min_role=None, seconds=LONGEST_ANSWER_SECONDS)
    async def long() -> None:
        """Take as long as any may."""
        left.append(remaining_seconds())

    for name in ("usual", "long"):
        await RouteClient(services).call(name, Call())

    assert left == [30.0, 185.0]
