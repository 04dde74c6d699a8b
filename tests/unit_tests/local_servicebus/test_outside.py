"""What surrounds the engine: the declaration of the queues, faults, the operator's HTTP, the file."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from local.servicebus.admin import Admin, looks_like_http
from local.servicebus.config import Config, ConfigError, milliseconds, read_config
from local.servicebus.engine.broker import Broker
from local.servicebus.engine.model import Incoming, QueueSpec, SavedSession
from local.servicebus.faults import Fault, FaultKind, Faults, InvalidFaultError
from local.servicebus.storage import SqliteStore, StoreError
from tests.unit_tests.local_servicebus.doubles import Bench, FakeClock, FakeTokens

if TYPE_CHECKING:
    from pathlib import Path


def config(
    tmp_path: Path, *queues: dict[str, Any], namespaces: int = 1, topics: tuple[str, ...] = ()
) -> Config:
    namespace = {"Name": "n", "Queues": list(queues), "Topics": [{"Name": name} for name in topics]}
    path = tmp_path / "Config.json"
    path.write_text(json.dumps({"UserConfig": {"Namespaces": [namespace] * namespaces}}))
    return read_config(path)


def queue(**properties: object) -> dict[str, Any]:
    return {"Name": "q", "Properties": properties}


def test_a_queue_is_read_with_all_it_declares(tmp_path: Path) -> None:
    declared = queue(
        LockDuration="PT30S",
        MaxDeliveryCount=3,
        DefaultMessageTimeToLive="P1DT1H",
        DeadLetteringOnMessageExpiration=True,
        RequiresSession=True,
        RequiresDuplicateDetection=True,
        DuplicateDetectionHistoryTimeWindow="PT20S",
        ForwardTo="",
    )
    read = config(tmp_path, declared, topics=("t",))
    assert read == Config(
        (
            QueueSpec(
                "q",
                lock_duration=30_000,
                max_delivery_count=3,
                default_time_to_live=90_000_000,
                dead_letter_on_expiry=True,
                requires_session=True,
                requires_duplicate_detection=True,
                duplicate_window=20_000,
            ),
        ),
        ("t",),
    )


def test_what_is_not_declared_is_as_in_azure_and_for_ever_is_no_limit(tmp_path: Path) -> None:
    [plain] = config(tmp_path, {"Name": "q"}).queues
    assert plain == QueueSpec("q", default_time_to_live=14 * 86_400_000)
    [forever] = config(tmp_path, queue(DefaultMessageTimeToLive="P10675199DT2H48M5.4775807S")).queues
    assert forever.default_time_to_live is None


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (queue(ForwardTo="other"), "ForwardTo"),
        (queue(ForwardDeadLetteredMessagesTo="other"), "ForwardDeadLetteredMessagesTo"),
        (queue(EnablePartitioning=True), "EnablePartitioning"),
        (queue(LockDuration="a minute"), "a minute"),
        (queue(LockDuration="PT6M"), "LockDuration"),
        (queue(MaxDeliveryCount=0), "MaxDeliveryCount"),
        (queue(MaxDeliveryCount="many"), "many"),
        ({"Properties": {}}, "Name"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(tmp_path: Path, declared: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config(tmp_path, declared)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="one namespace"):
        config(tmp_path, namespaces=2)
    with pytest.raises(ConfigError, match="more than once"):
        config(tmp_path, {"Name": "q"}, {"Name": "Q"})
    (tmp_path / "Config.json").write_text("[]")
    with pytest.raises(ConfigError, match="UserConfig"):
        read_config(tmp_path / "Config.json")


@pytest.mark.parametrize(
    ("text", "expected"), [("PT1M", 60_000), ("PT0.5S", 500), ("P1DT2H3M4S", 93_784_000)]
)
def test_durations_are_read(text: str, expected: int) -> None:
    assert milliseconds(text) == expected


@pytest.mark.parametrize("text", ["", "P", "PT", "1M", "P1Y", "PT-1S"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        milliseconds(text)


def test_faults_happen_as_often_as_asked_and_where_asked() -> None:
    faults = Faults()
    faults.add(Fault(FaultKind.REFUSE_SEND, queue="a", count=2))
    faults.add(Fault(FaultKind.DELAY_SEND))
    assert [
        fault and fault.kind
        for fault in (faults.take("A"), faults.take("b"), faults.take("a"), faults.take("a"))
    ] == [
        FaultKind.REFUSE_SEND,
        FaultKind.DELAY_SEND,
        FaultKind.REFUSE_SEND,
        None,
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"kind": "explode"},
        {"kind": "refuse-send", "count": 0},
        {"kind": "refuse-send", "count": "x"},
        {"kind": "delay-send", "delay_ms": -1},
        {"kind": "refuse-send", "queue": 7},
        {"kind": "refuse-send", "condition": "ü"},
        {"kind": "refuse-send", "when": "now"},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidFaultError):
        Fault.parse(fields)


class Operator:
    """Speaks HTTP to the admin side."""

    def __init__(self) -> None:
        self.bench = Bench(QueueSpec("q"))
        self.dropped = 0
        self.faults = Faults()
        self.admin = Admin(self.bench.broker, self.faults, lambda: 3, self._drop)

    def _drop(self) -> None:
        self.dropped += 1

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Content-Length: {len(content)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        answer = self.admin.answer("\r\n".join([*lines, "", ""]).encode() + content)
        assert answer is not None
        head, _, document = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(document)


JSON = {"Content_Type": "application/json; charset=utf-8", "Host": "localhost:5672"}


def test_the_status_tells_the_depths() -> None:
    operator = Operator()
    operator.bench.send("a")
    status, document = operator.ask("GET", "/status?x=1", Host="127.0.0.1:1")
    assert status == 200
    assert document["connections"] == 3
    [depth] = document["queues"]
    assert depth == {"name": "q", "active": 1, "scheduled": 0, "deferred": 0, "dead_lettered": 0, "locked": 0}


def test_faults_are_set_listed_and_cleared() -> None:
    operator = Operator()
    assert operator.ask("POST", "/faults", {"kind": "refuse-send", "count": 2}, **JSON)[0] == 200
    assert operator.ask("GET", "/faults")[1]["faults"][0]["left"] == 2
    assert operator.ask("DELETE", "/faults")[1] == {"faults": []}
    assert operator.ask("POST", "/faults", {"kind": "drop-connections"}, **JSON)[0] == 200
    assert operator.dropped == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "expected"),
    [
        ("GET", "/", None, {}, 404),
        ("PUT", "/faults", None, {}, 405),
        ("POST", "/faults", {"kind": "refuse-send"}, {}, 415),
        ("POST", "/faults", {"kind": "x"}, JSON, 400),
        ("POST", "/faults", [], JSON, 400),
        ("GET", "/status", None, {"Host": "evil.example"}, 403),
        ("GET", "/a b", None, {}, 400),
    ],
)
def test_what_the_operator_may_not_ask_is_refused(
    method: str, path: str, body: object, headers: dict[str, str], expected: int
) -> None:
    assert Operator().ask(method, path, body, **headers)[0] == expected


def test_a_request_is_waited_for_but_not_for_ever() -> None:
    admin = Operator().admin
    assert admin.answer(b"GET /sta") is None
    assert admin.answer(b"POST /faults HTTP/1.1\r\nContent-Length: 5\r\n\r\n{") is None
    too_much = admin.answer(b"GET " + b"x" * 70_000)
    assert too_much is not None
    assert b" 413 " in too_much
    lying = admin.answer(b"POST /faults HTTP/1.1\r\nContent-Length: x\r\n\r\n")
    assert lying is not None
    assert b" 400 " in lying


def test_http_is_told_from_amqp_by_its_first_bytes() -> None:
    assert looks_like_http(b"GET / HTTP/1.1")
    assert looks_like_http(b"D")
    assert not looks_like_http(b"AMQP\x03\x01\x00\x00")
    assert not looks_like_http(b"\x16\x03")


def test_what_was_not_committed_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "q.sqlite3"
    with SqliteStore(path) as store:
        queue = Broker([QueueSpec("q")], store, FakeClock(), FakeTokens()).queue("q")
        queue.send([Incoming(b"kept")])
        store.commit()
        queue.send([Incoming(b"lost")])
        queue.set_session_state("s", b"lost")
    with SqliteStore(path) as store:
        assert store.queues() == {"q"}
        [record] = store.load("q").records
        assert store.content(record.row_id) == b"kept"
        assert store.load("q").sessions == []


def test_contents_are_read_from_the_file_when_memory_has_let_go_of_them(tmp_path: Path) -> None:
    path = tmp_path / "q.sqlite3"
    with SqliteStore(path, cached_bytes=10) as store:
        queue = Broker([QueueSpec("q")], store, FakeClock(), FakeTokens()).queue("q")
        queue.send([Incoming(b"a" * 8), Incoming(b"b" * 8)])
        assert [found.content for found in queue.peek(0, 2)] == [b"a" * 8, b"b" * 8]
        store.commit()
        assert [found.content for found in queue.peek(0, 2)] == [b"a" * 8, b"b" * 8]


def test_sessions_and_duplicates_are_stored(tmp_path: Path) -> None:
    path = tmp_path / "q.sqlite3"
    with SqliteStore(path) as store:
        store.save_session("q", SavedSession("s", b"1", 5))
        store.save_session("q", SavedSession("t", b"1", 5))
        store.save_session("q", SavedSession("t", None, 6))
        for message_id in ("a", "b"):
            store.remember("q", message_id, 7)
        store.forget("q", ["a"])
        store.commit()
    with SqliteStore(path) as store:
        saved = store.load("q")
    assert list(saved.sessions) == [SavedSession("s", b"1", 5)]
    assert list(saved.history) == [("b", 7)]


@pytest.mark.slow
def test_a_file_of_another_version_or_kind_or_in_use_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite3"
    with sqlite3.connect(other) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StoreError, match="another version"):
        SqliteStore(other)
    junk = tmp_path / "junk.sqlite3"
    junk.write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteStore(junk)
    with SqliteStore(tmp_path / "q.sqlite3"), pytest.raises(StoreError, match="cannot be opened"):
        SqliteStore(tmp_path / "q.sqlite3")


def test_a_folder_that_cannot_be_had_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteStore(tmp_path / "file" / "q.sqlite3")


def test_a_folder_that_holds_other_things_too_keeps_its_mode_and_the_file_is_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "other").touch(0o644)
    SqliteStore(tmp_path / "q.sqlite3").close()
    modes = [path.stat().st_mode & 0o777 for path in (tmp_path, tmp_path / "other", tmp_path / "q.sqlite3")]
    assert modes == [0o755, 0o644, 0o600]


def test_nothing_of_a_message_that_was_taken_stays_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "q.sqlite3"
    with SqliteStore(path) as store:
        queue = Broker([QueueSpec("q")], store, FakeClock(), FakeTokens()).queue("q")
        queue.send([Incoming(b"a secret" * 100)])
        store.commit()
    assert b"a secret" in path.read_bytes()
    with SqliteStore(path) as store:
        queue = Broker([QueueSpec("q")], store, FakeClock(), FakeTokens()).queue("q")
        assert queue.receive(None, lock=False) is not None
        store.commit()
    assert b"a secret" not in path.read_bytes()
