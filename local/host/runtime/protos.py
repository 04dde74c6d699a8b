"""The worker protocol's messages as plain classes: what the runtime needs of them and no gRPC.

Names and spellings are the protocol's (`FunctionRpc.proto` of the Functions host).
"""

# ruff: noqa: N802, D101, D102 -- the protocol's names, which the runtime looks up by spelling

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping, Sequence
    from datetime import timedelta


class TypedData:
    """A value with its kind; only the one field that is set exists."""

    __slots__ = ("_kind", "_value")

    def __init__(self, **kind: Any) -> None:  # noqa: ANN401 -- a protocol's oneof takes any of its kinds
        if len(kind) > 1:
            raise ValueError("TypedData holds one value")
        self._kind: str | None = next(iter(kind), None)
        self._value: Any = next(iter(kind.values()), None)

    def WhichOneof(self, _group: str) -> str | None:
        return self._kind

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- same
        if name == self._kind:
            return self._value
        raise AttributeError(name)

    @property
    def value(self) -> Any:  # noqa: ANN401 -- same
        return self._value


@dataclass(slots=True)
class CollectionString:
    string: Sequence[str]


@dataclass(slots=True)
class CollectionBytes:
    bytes: Sequence[builtins.bytes]


@dataclass(slots=True)
class NullableString:
    value: str


@dataclass(slots=True)
class NullableBool:
    value: bool


@dataclass(slots=True)
class NullableDouble:
    value: float


@dataclass(slots=True)
class Timestamp:
    seconds: int


@dataclass(slots=True)
class NullableTimestamp:
    value: Timestamp


@dataclass(slots=True)
class RpcHttpCookie:
    class SameSite:
        """The protocol's enumeration."""

        Lax: ClassVar[int] = 1
        Strict: ClassVar[int] = 2
        ExplicitNone: ClassVar[int] = 3

    name: str
    value: str
    domain: NullableString | None = None
    path: NullableString | None = None
    expires: NullableTimestamp | None = None
    secure: NullableBool | None = None
    http_only: NullableBool | None = None
    same_site: int = 0
    max_age: NullableDouble | None = None


# "None" is the name of a member in the protocol and cannot be written as one.
setattr(RpcHttpCookie.SameSite, "None", 0)


@dataclass(slots=True)
class RpcHttp:
    method: str = ""
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: TypedData = field(default_factory=TypedData)
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    status_code: str = ""
    enable_content_negotiation: bool = False
    cookies: Sequence[RpcHttpCookie] | None = None


@dataclass(slots=True)
class ParameterBinding:
    name: str
    data: TypedData | None

    def WhichOneof(self, _group: str) -> str:
        return "data"


@dataclass(slots=True)
class RpcException:
    message: str = ""
    stack_trace: str = ""
    source: str = ""


@dataclass(slots=True)
class StatusResult:
    Failure: ClassVar[int] = 0
    Success: ClassVar[int] = 1

    status: int
    exception: RpcException | None = None


@dataclass(slots=True)
class BindingInfo:
    # The decorators' own enumerations use the same numbers.
    out: ClassVar[int] = 1
    inout: ClassVar[int] = 2
    undefined: ClassVar[int] = 0

    type: str
    data_type: Any
    direction: Any


@dataclass(slots=True)
class RpcRetryOptions:
    max_retry_count: int
    retry_strategy: str
    delay_interval: timedelta | None = None
    minimum_interval: timedelta | None = None
    maximum_interval: timedelta | None = None


@dataclass(slots=True, kw_only=True)
class RpcFunctionMetadata:
    name: str
    function_id: str
    directory: str
    script_file: str
    entry_point: str
    language: str
    bindings: Mapping[str, BindingInfo]
    raw_bindings: Sequence[str]
    properties: Mapping[str, str]
    managed_dependency_enabled: bool = False
    is_proxy: bool = False
    retry_options: RpcRetryOptions | None = None


@dataclass(slots=True)
class WorkerMetadata:
    runtime_name: str
    runtime_version: str
    worker_version: str
    worker_bitness: str
    custom_properties: Mapping[str, str]


@dataclass(slots=True)
class WorkerInitResponse:
    capabilities: Mapping[str, str]
    worker_metadata: WorkerMetadata
    result: StatusResult


@dataclass(slots=True)
class FunctionMetadataResponse:
    use_default_metadata_indexing: bool
    function_metadata_results: Sequence[RpcFunctionMetadata] | None
    result: StatusResult


@dataclass(slots=True)
class FunctionLoadResponse:
    function_id: str
    result: StatusResult


@dataclass(slots=True)
class InvocationResponse:
    invocation_id: str
    result: StatusResult
    return_value: TypedData | None = None
    output_data: Sequence[ParameterBinding] = ()


@dataclass(slots=True)
class RpcTraceContext:
    trace_parent: str = ""
    trace_state: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class RpcRetryContext:
    retry_count: int = 0
    max_retry_count: int = 0
    exception: RpcException | None = None


@dataclass(slots=True)
class InvocationRequest:
    invocation_id: str
    function_id: str
    input_data: Sequence[ParameterBinding]
    trigger_metadata: Mapping[str, TypedData]
    trace_context: RpcTraceContext
    retry_context: RpcRetryContext


@dataclass(slots=True)
class WorkerInitRequest:
    function_app_directory: str
    capabilities: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class FunctionLoadRequest:
    function_id: str
