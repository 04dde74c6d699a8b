"""A function's bindings, parsed once: its trigger, inputs and outputs, settings resolved."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from local.host.invocation import FunctionMetadata, RetryPolicy
    from local.host.settings import Settings

RETURN = "$return"
_DEFERRED = "supportsdeferredbinding"

_METHODS = ("GET", "POST", "DELETE", "HEAD", "PATCH", "PUT", "OPTIONS", "TRACE", "CONNECT")

type AuthLevel = Literal["anonymous", "function", "admin"]


class BindingError(Exception):
    """A function cannot run here because of one of its bindings."""

    def __init__(self, function: str, message: str) -> None:
        super().__init__(f"The '{function}' function is in error: {message}")


@dataclass(frozen=True, slots=True)
class Queue:
    """A Service Bus queue."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Subscription:
    """A Service Bus topic's subscription."""

    topic: str
    name: str

    def __str__(self) -> str:
        return f"{self.topic}/subscriptions/{self.name}"


@dataclass(frozen=True, slots=True)
class HttpTrigger:
    """`httpTrigger`."""

    name: str
    route: str
    methods: tuple[str, ...] = _METHODS
    auth_level: AuthLevel = "function"


@dataclass(frozen=True, slots=True)
class ServiceBusTrigger:
    """`serviceBusTrigger`; `auto_complete` None means host.json's."""

    name: str
    source: Queue | Subscription
    connection: str
    sessions: bool = False
    batch: bool = False
    auto_complete: bool | None = None
    binary: bool = False


@dataclass(frozen=True, slots=True)
class TimerTrigger:
    """`timerTrigger`."""

    name: str
    schedule: str
    run_on_startup: bool = False
    use_monitor: bool = True


@dataclass(frozen=True, slots=True)
class BlobTrigger:
    """`blobTrigger` that scans its container."""

    name: str
    path: str
    connection: str
    text: bool = False


@dataclass(frozen=True, slots=True)
class WarmupTrigger:
    """`warmupTrigger`: runs when the host is asked to warm up."""

    name: str


type Trigger = HttpTrigger | ServiceBusTrigger | TimerTrigger | BlobTrigger | WarmupTrigger


@dataclass(frozen=True, slots=True)
class BlobBinding:
    """`blob`, in or out; its path may hold `{expressions}`."""

    name: str
    path: str
    connection: str
    text: bool = False


@dataclass(frozen=True, slots=True)
class ServiceBusOutput:
    """`serviceBus`, out."""

    name: str
    entity: str
    connection: str


@dataclass(frozen=True, slots=True)
class HttpResponseBinding:
    """`http`, out: the answer of an HTTP function."""

    name: str


type Output = BlobBinding | ServiceBusOutput | HttpResponseBinding


@dataclass(frozen=True, slots=True)
class Function:
    """A function that the host can run."""

    name: str
    id: str
    trigger: Trigger
    inputs: Sequence[BlobBinding] = ()
    outputs: Sequence[Output] = ()
    retry: RetryPolicy | None = None
    disabled: bool = False
    script_file: str = "function_app.py"
    raw_bindings: Sequence[Mapping[str, Any]] = field(default=(), repr=False)

    @property
    def responds_by_return(self) -> bool:
        """Whether the HTTP answer is what the function returns."""
        return any(
            isinstance(output, HttpResponseBinding) and output.name == RETURN for output in self.outputs
        )


class _Raw:
    """One binding of function.json, read without regard to case as the host reads it."""

    def __init__(self, function: str, raw: Mapping[str, Any], settings: Settings) -> None:
        self._raw = {key.lower().replace("_", ""): value for key, value in raw.items()}
        self._settings = settings
        self._function = function

    def text(self, name: str, default: str | None = None) -> str:
        value = self._raw.get(name.lower())
        if value is None:
            if default is None:
                raise self.error(f"{self.type} binding '{self.name}' has no {name}")
            return default
        return str(value)

    def resolved(self, name: str, default: str | None = None) -> str:
        return self._settings.resolve(self.text(name, default))

    def flag(self, name: str) -> bool | None:
        value = self._raw.get(name.lower())
        return None if value is None else str(value).lower() == "true"

    def texts(self, name: str) -> list[str]:
        value = self._raw.get(name.lower()) or []
        return [str(item) for item in (value if isinstance(value, list) else [value])]

    def has(self, name: str) -> bool:
        return self._raw.get(name.lower()) is not None

    def error(self, message: str) -> BindingError:
        return BindingError(self._function, message)

    @property
    def type(self) -> str:
        return str(self._raw.get("type", ""))

    @property
    def name(self) -> str:
        return str(self._raw.get("name", ""))

    @property
    def data_type(self) -> str:
        return str(self._raw.get("datatype", "undefined")).lower()

    @property
    def is_out(self) -> bool:
        return str(self._raw.get("direction", "in")).lower() == "out"

    @property
    def is_sdk_type(self) -> bool:
        """Whether the worker asks for what it makes a client of an SDK from, instead of for content."""
        properties = self._raw.get("properties")
        named = properties.items() if isinstance(properties, dict) else ()
        return any(name.lower() == _DEFERRED and str(value).lower() == "true" for name, value in named)


def parse_function(metadata: FunctionMetadata, settings: Settings) -> Function:
    """Parse what the worker indexed.

    Raises:
        BindingError: A binding is of a type, or asks for something, that this host does not do.
        SettingError: A `%NAME%` names no setting.
    """
    bindings = [_Raw(metadata.name, raw, settings) for raw in metadata.bindings]
    for binding in bindings:
        if binding.is_sdk_type:
            raise binding.error(
                f"the parameter '{binding.name}' of {binding.type} is an SDK type, which the local host does "
                "not pass: take the content (func.InputStream, bytes, str)"
            )
    triggers = [binding for binding in bindings if binding.type.lower().endswith("trigger")]
    if len(triggers) != 1:
        raise BindingError(metadata.name, f"it needs exactly one trigger and has {len(triggers)}")
    others = [binding for binding in bindings if binding is not triggers[0]]
    return Function(
        name=metadata.name,
        id=metadata.function_id,
        trigger=_trigger(metadata.name, triggers[0]),
        inputs=[_input(binding) for binding in others if not binding.is_out],
        outputs=[_output(binding) for binding in others if binding.is_out],
        retry=metadata.retry,
        disabled=settings.flag(f"AzureWebJobs.{metadata.name}.Disabled")
        or settings.flag(f"AzureWebJobs_{metadata.name}_Disabled"),
        script_file=metadata.script_file,
        raw_bindings=metadata.bindings,
    )


def _trigger(function: str, binding: _Raw) -> Trigger:
    parse = _TRIGGERS.get(binding.type.lower())
    if parse is None:
        raise binding.error(
            f"the binding type '{binding.type}' is not supported by the local host; "
            "supported are httpTrigger, serviceBusTrigger, timerTrigger, blobTrigger and warmupTrigger"
        )
    return parse(function, binding)


def _http_trigger(function: str, binding: _Raw) -> HttpTrigger:
    methods = tuple(method.upper() for method in binding.texts("methods"))
    level = binding.text("authLevel", "function").lower()
    if level not in {"anonymous", "function", "admin"}:
        raise binding.error(f"authLevel '{level}' is none of anonymous, function and admin")
    route = binding.resolved("route", "") or function
    return HttpTrigger(binding.name, route, methods or _METHODS, level)  # type: ignore[arg-type] # checked above


def _servicebus_trigger(_function: str, binding: _Raw) -> ServiceBusTrigger:
    source: Queue | Subscription
    if binding.has("queueName"):
        source = Queue(binding.resolved("queueName"))
    else:
        source = Subscription(binding.resolved("topicName"), binding.resolved("subscriptionName"))
    return ServiceBusTrigger(
        name=binding.name,
        source=source,
        connection=binding.text("connection", ""),
        sessions=binding.flag("isSessionsEnabled") or False,
        batch=binding.text("cardinality", "one").lower() == "many",
        auto_complete=binding.flag("autoCompleteMessages")
        if binding.has("autoCompleteMessages")
        else binding.flag("autoComplete"),
        binary=binding.data_type in {"binary", "stream"},
    )


def _timer_trigger(_function: str, binding: _Raw) -> TimerTrigger:
    monitor = binding.flag("useMonitor")
    return TimerTrigger(
        name=binding.name,
        schedule=binding.resolved("schedule"),
        run_on_startup=binding.flag("runOnStartup") or False,
        use_monitor=True if monitor is None else monitor,
    )


def _blob_trigger(_function: str, binding: _Raw) -> BlobTrigger:
    source = binding.text("source", "LogsAndContainerScan").lower().replace("_", "")
    if source == "eventgrid":
        raise binding.error(
            f"blobTrigger '{binding.name}' has source EventGrid, and nothing sends its events here: "
            "choose LogsAndContainerScan by a setting"
        )
    return BlobTrigger(
        binding.name,
        binding.resolved("path"),
        binding.text("connection", ""),
        text=binding.data_type == "string",
    )


def _warmup_trigger(_function: str, binding: _Raw) -> WarmupTrigger:
    return WarmupTrigger(binding.name)


_TRIGGERS: Mapping[str, Callable[[str, _Raw], Trigger]] = {
    "httptrigger": _http_trigger,
    "servicebustrigger": _servicebus_trigger,
    "timertrigger": _timer_trigger,
    "blobtrigger": _blob_trigger,
    "warmuptrigger": _warmup_trigger,
}


def _input(binding: _Raw) -> BlobBinding:
    if binding.type.lower() != "blob":
        raise binding.error(
            f"the input binding '{binding.name}' of type '{binding.type}' is not supported locally; "
            "supported is blob"
        )
    return _blob(binding)


def _output(binding: _Raw) -> Output:
    match binding.type.lower():
        case "http":
            return HttpResponseBinding(binding.name)
        case "blob":
            return _blob(binding)
        case "servicebus":
            entity = binding.resolved("queueName" if binding.has("queueName") else "topicName")
            return ServiceBusOutput(binding.name, entity, binding.text("connection", ""))
        case _:
            raise binding.error(
                f"the output binding '{binding.name}' of type '{binding.type}' is not supported locally; "
                "supported are http, blob and serviceBus"
            )


def _blob(binding: _Raw) -> BlobBinding:
    path = re.sub(r"^/+", "", binding.resolved("path"))
    return BlobBinding(binding.name, path, binding.text("connection", ""), text=binding.data_type == "string")
