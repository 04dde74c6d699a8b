"""`CosmosPromptManager` with the call shapes of the prompt manager document: a thin facade over the library.

Everything runs on an event loop of its own, so that the synchronous methods can be called from anywhere,
inside a running loop too, and the asynchronous ones from any loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal, Self, TypedDict

from compat.loop_thread import LoopThread
from shared.caching.region import Cache
from shared.clock import SystemClock
from shared.errors import APIError
from shared.prompts.batches import check_name, delete_many, parse_draft, save_many
from shared.prompts.edits import DeletePrompt, PromptEdit
from shared.prompts.errors import PromptNotFoundError
from shared.prompts.library import PromptLibrary
from shared.prompts.models import PromptDraft
from shared.tenancy.context import platform_caller, tenant_caller
from shared.tenancy.source import Source

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from types import TracebackType

    from compat.cosmos_account import OpensContainers
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.prompts.batches import ItemOutcome
    from shared.prompts.library import Prompts
    from shared.prompts.stored_models import Prompt, PromptSummary, StoredTemplate
    from shared.tenancy.context import PlatformContext, TenantContext

type Scope = Literal["tenant", "global"]
type PromptData = str | Sequence[Mapping[str, object]] | Mapping[str, object]
"""A text, the messages of a chat, or a whole draft by its fields."""

_PAGE = 100


class HealthCheck(TypedDict):
    """Result of one check."""

    status: Literal["healthy", "unhealthy"]
    response_time_ms: float
    error: str | None


class Health(TypedDict):
    """Whether prompts can be read."""

    status: Literal["healthy", "unhealthy"]
    timestamp: str
    checks: dict[str, HealthCheck]


class BatchReport(Mapping[str, bool]):
    """Whether it was done, by name, in the order of the batch.

    Attributes:
        results: What became of each item. One without a name is called `#` and its place.
    """

    def __init__(self, results: Sequence[ItemOutcome]) -> None:
        self.results = {
            f"#{place}" if item.name is None else item.name: item.outcome
            for place, item in reversed(list(enumerate(results)))
        }
        self._names = [f"#{place}" if item.name is None else item.name for place, item in enumerate(results)]

    @property
    def failures(self) -> dict[str, APIError]:
        """Return why, for each item that was not done."""
        return {name: found for name in self if isinstance(found := self.results[name], APIError)}

    def __getitem__(self, name: str) -> bool:
        return not isinstance(self.results[name], APIError)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(self._names))

    def __len__(self) -> int:
        return len(self.results)


class CosmosPromptManager:
    """Tenants' prompts in Cosmos DB.

    Each method takes the tenant by `tenant_id`, or the ambient one inside a request, where no other can be
    named; without either it raises `ValueError`. The global prompts are asked for by `scope="global"`; what a
    tenant does not have is read from them. `{method}_async` is the same for callers with an event loop.

    Args:
        cosmos_client: The account.
        database_name: The database.
        container_name: The container; its partition key is `/tenant_id`.
        global_fallback: Whether tenants read the global prompts.
        prefetched: The prompts that are read in one request when a tenant is first seen.
    """

    def __init__(
        self,
        cosmos_client: OpensContainers,
        database_name: str = "prompts",
        container_name: str = "prompts",
        *,
        global_fallback: bool = True,
        prefetched: Sequence[str] = (),
    ) -> None:
        self._account = cosmos_client
        self._names = database_name, container_name
        self._falls_back = global_fallback
        self._prefetched = prefetched
        self._thread = LoopThread("prompts")
        self._library: PromptLibrary | None = None
        self._clock: Clock = SystemClock()

    def get_prompt(
        self, prompt_name: str, tenant_id: str | None = None, *, scope: Scope = "tenant"
    ) -> StoredTemplate | None:
        """Return the latest version's text or messages, or None where there is none."""
        caller = _caller(tenant_id, scope)
        held = self._at_hand(caller, prompt_name)
        return held or self._thread.run(self._with(caller, partial(_template, name=prompt_name)))

    async def get_prompt_async(
        self, prompt_name: str, tenant_id: str | None = None, *, scope: Scope = "tenant"
    ) -> StoredTemplate | None:
        """Return the latest version's text or messages, or None where there is none."""
        caller = _caller(tenant_id, scope)
        held = self._at_hand(caller, prompt_name)
        return held or await self._thread.join(self._with(caller, partial(_template, name=prompt_name)))

    def get_prompt_details(
        self, prompt_name: str, tenant_id: str | None = None, *, scope: Scope = "tenant"
    ) -> Prompt | None:
        """Return the latest version with all that is known of it, or None where there is none."""
        return self._thread.run(self._with(_caller(tenant_id, scope), partial(_details, name=prompt_name)))

    async def get_prompt_details_async(
        self, prompt_name: str, tenant_id: str | None = None, *, scope: Scope = "tenant"
    ) -> Prompt | None:
        """Return the latest version with all that is known of it, or None where there is none."""
        work = self._with(_caller(tenant_id, scope), partial(_details, name=prompt_name))
        return await self._thread.join(work)

    def save_prompt(
        self,
        prompt_name: str,
        prompt_data: PromptData,
        tenant_id: str | None = None,
        *,
        scope: Scope = "tenant",
    ) -> bool:
        """Store the next version; True once it is stored.

        Raises:
            ValidationError: It could never be rendered, or has fields that no prompt has; they are named.
            ConflictError: Others kept saving it meanwhile.
            DependencyUnavailableError: The store is down.
        """
        work = partial(_save, name=prompt_name, data=prompt_data)
        return self._thread.run(self._with(_caller(tenant_id, scope), work))

    async def save_prompt_async(
        self,
        prompt_name: str,
        prompt_data: PromptData,
        tenant_id: str | None = None,
        *,
        scope: Scope = "tenant",
    ) -> bool:
        """Store the next version; True once it is stored. It raises what `save_prompt` does."""
        work = partial(_save, name=prompt_name, data=prompt_data)
        return await self._thread.join(self._with(_caller(tenant_id, scope), work))

    def delete_prompt(
        self, prompt_name: str, tenant_id: str | None = None, *, scope: Scope = "tenant"
    ) -> bool:
        """Take a prompt out of use; False where there is none."""
        return self._thread.run(self._with(_caller(tenant_id, scope), partial(_delete, name=prompt_name)))

    async def delete_prompt_async(
        self, prompt_name: str, tenant_id: str | None = None, *, scope: Scope = "tenant"
    ) -> bool:
        """Take a prompt out of use; False where there is none."""
        work = self._with(_caller(tenant_id, scope), partial(_delete, name=prompt_name))
        return await self._thread.join(work)

    def list_prompts(self, tenant_id: str | None = None, *, scope: Scope = "tenant") -> list[str]:
        """Return the names of the tenant's own prompts, or of the global ones, in order."""
        return [one.name for one in self.get_all_prompt_details(tenant_id, scope=scope)]

    async def list_prompts_async(self, tenant_id: str | None = None, *, scope: Scope = "tenant") -> list[str]:
        """Return the names of the tenant's own prompts, or of the global ones, in order."""
        return [one.name for one in await self.get_all_prompt_details_async(tenant_id, scope=scope)]

    def get_all_prompt_details(
        self, tenant_id: str | None = None, *, scope: Scope = "tenant"
    ) -> list[PromptSummary]:
        """Return the tenant's own prompts, or the global ones, by name and without their templates."""
        return self._thread.run(self._with(_caller(tenant_id, scope), _list))

    async def get_all_prompt_details_async(
        self, tenant_id: str | None = None, *, scope: Scope = "tenant"
    ) -> list[PromptSummary]:
        """Return the tenant's own prompts, or the global ones, by name and without their templates."""
        return await self._thread.join(self._with(_caller(tenant_id, scope), _list))

    def get_prompts_batch(
        self, prompt_names: Sequence[str], tenant_id: str | None = None, *, scope: Scope = "tenant"
    ) -> dict[str, StoredTemplate | None]:
        """Return each prompt's text or messages, None where there is none; one request for each 100."""
        return self._thread.run(self._with(_caller(tenant_id, scope), partial(_get_many, names=prompt_names)))

    async def get_prompts_batch_async(
        self, prompt_names: Sequence[str], tenant_id: str | None = None, *, scope: Scope = "tenant"
    ) -> dict[str, StoredTemplate | None]:
        """Return each prompt's text or messages, None where there is none; one request for each 100."""
        work = self._with(_caller(tenant_id, scope), partial(_get_many, names=prompt_names))
        return await self._thread.join(work)

    def save_prompts_batch(
        self,
        prompts: Sequence[Mapping[str, object]],
        tenant_id: str | None = None,
        *,
        scope: Scope = "tenant",
    ) -> BatchReport:
        """Store prompts, each a `prompt_name` with its `prompt_data`, 25 in one request; tell of each."""
        return self._thread.run(self._with(_caller(tenant_id, scope), partial(_save_many, items=prompts)))

    async def save_prompts_batch_async(
        self,
        prompts: Sequence[Mapping[str, object]],
        tenant_id: str | None = None,
        *,
        scope: Scope = "tenant",
    ) -> BatchReport:
        """Store prompts, each a `prompt_name` with its `prompt_data`, 25 in one request; tell of each."""
        work = self._with(_caller(tenant_id, scope), partial(_save_many, items=prompts))
        return await self._thread.join(work)

    def delete_prompts_batch(
        self, prompt_names: Sequence[str], tenant_id: str | None = None, *, scope: Scope = "tenant"
    ) -> BatchReport:
        """Take prompts out of use, 25 in one request; tell of each."""
        work = partial(_delete_many, names=prompt_names)
        return self._thread.run(self._with(_caller(tenant_id, scope), work))

    async def delete_prompts_batch_async(
        self, prompt_names: Sequence[str], tenant_id: str | None = None, *, scope: Scope = "tenant"
    ) -> BatchReport:
        """Take prompts out of use, 25 in one request; tell of each."""
        work = self._with(_caller(tenant_id, scope), partial(_delete_many, names=prompt_names))
        return await self._thread.join(work)

    def health_check(self) -> Health:
        """Tell whether the container answers, and how fast."""
        return self._thread.run(self._health())

    async def health_check_async(self) -> Health:
        """Tell whether the container answers, and how fast."""
        return await self._thread.join(self._health())

    def close(self) -> None:
        """Close the client and end the thread."""
        self._thread.run(self._close())
        self._thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _with[T](
        self, caller: TenantContext | PlatformContext, work: Callable[[Prompts], Awaitable[T]]
    ) -> T:
        """Do something with the caller's prompts; this runs on the manager's own loop."""
        if self._library is None:
            self._library = PromptLibrary(
                self._container(), self._clock, Cache(self._clock), self._uses_global, self._prefetched
            )
        return await work(self._library.of(caller))

    def _container(self) -> Container:
        return self._account.container(*self._names)

    async def _uses_global(self, _: TenantContext) -> bool:
        return self._falls_back

    def _at_hand(self, caller: TenantContext | PlatformContext, name: str) -> StoredTemplate | None:
        """Answer from the cache on the caller's own thread: a way to the other one and back costs more."""
        if self._library is None:
            return None
        held = self._library.of(caller).peek(name)
        return None if held is None else held.content.template

    async def _health(self) -> Health:
        began = self._clock.monotonic()
        problem: str | None = None
        try:
            await self._container().read(("global:prompts",), "probe")
        except APIError as error:
            problem = error.message
        status: Literal["healthy", "unhealthy"] = "healthy" if problem is None else "unhealthy"
        took = round((self._clock.monotonic() - began) * 1000, 1)
        check = HealthCheck(status=status, response_time_ms=took, error=problem)
        return Health(status=status, timestamp=self._clock.now().isoformat(), checks={"container": check})

    async def _close(self) -> None:
        if self._library is not None:
            await self._library.close()
            self._library = None
        await self._account.close()


def _caller(tenant_id: str | None, scope: Scope) -> TenantContext | PlatformContext:
    if scope == "global":
        return platform_caller()
    return tenant_caller(tenant_id)


def _source_for(prompts: Prompts) -> Source:
    return Source.GLOBAL if prompts.only_global else Source.TENANT


async def _details(prompts: Prompts, name: str) -> Prompt | None:
    check_name(name)
    try:
        return await prompts.read(name)
    except PromptNotFoundError:
        return None


async def _template(prompts: Prompts, name: str) -> StoredTemplate | None:
    prompt = await _details(prompts, name)
    return None if prompt is None else prompt.content.template


async def _save(prompts: Prompts, name: str, data: PromptData) -> bool:
    check_name(name)
    await prompts.save(name, parse_draft(PromptDraft, _fields(data)), source=_source_for(prompts))
    return True


async def _delete(prompts: Prompts, name: str) -> bool:
    check_name(name)
    try:
        await prompts.apply(PromptEdit(name, DeletePrompt()), _source_for(prompts))
    except PromptNotFoundError:
        return False
    return True


async def _list(prompts: Prompts) -> list[PromptSummary]:
    found: list[PromptSummary] = []
    while True:
        page = await prompts.list(_source_for(prompts), found[-1].name if found else None, _PAGE)
        found += page
        if len(page) < _PAGE:
            return found


async def _get_many(prompts: Prompts, names: Sequence[str]) -> dict[str, StoredTemplate | None]:
    """Read what is not at hand, in one request for each 100, and keep it at hand."""
    for name in names:
        check_name(name)
    held = {name: prompts.peek(name) for name in names}
    missing = [name for name, prompt in held.items() if prompt is None]
    if missing:
        held |= await prompts.prefetch(missing)
    return {name: None if prompt is None else prompt.content.template for name, prompt in held.items()}


async def _save_many(prompts: Prompts, items: Sequence[Mapping[str, object]]) -> BatchReport:
    return BatchReport(await save_many(prompts, [_item(item) for item in items], _source_for(prompts)))


async def _delete_many(prompts: Prompts, names: Sequence[str]) -> BatchReport:
    return BatchReport(await delete_many(prompts, names, _source_for(prompts)))


def _item(item: Mapping[str, object]) -> Mapping[str, object]:
    """Turn an item of the document's shape into a draft's; what else is in it is refused by name later."""
    rest = {name: value for name, value in item.items() if name not in {"prompt_name", "prompt_data"}}
    fields = _fields(item["prompt_data"]) if "prompt_data" in item else {}
    said = {**rest, **fields}
    if "prompt_name" in item and "name" in said:
        said["prompt_data.name"] = said.pop("name")  # whose it is, is not the data's to say
    return {"name": item.get("prompt_name"), **said}


def _fields(data: object) -> Mapping[str, object]:
    if isinstance(data, Mapping):
        return data
    return {"template": data}
