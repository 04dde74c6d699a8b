"""Timers and blob triggers through the real runtime, and Azurite for the blobs."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient

from tests.integration_tests.local_host.parts import blob_connection, running_part
from tests.integration_tests.local_host.running import running_host, wait_for
from tests.support.plain_http import plain_http

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from azure.storage.blob import ContainerClient

    from tests.integration_tests.local_host.running import RunningHost


_TIMERS = ("ticks", "yearly", "stubborn", "patient")
_OTHERS = ("takes_blob", "takes_message", "takes_session", "takes_batch", "answers")


def _settings(record: Path, storage: str = "UseDevelopmentStorage=true", **more: str) -> dict[str, str]:
    record.touch()
    return {
        "RECORD": str(record),
        "TICK": "*/1 * * * * *",
        "PLAIN_QUEUE": "plain",
        "SERVICEBUS": "Endpoint=sb://localhost:1;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;",
        "AzureWebJobsStorage": storage,
        **more,
    }


def _without(*functions: str) -> dict[str, str]:
    return {f"AzureWebJobs.{name}.Disabled": "true" for name in functions}


def _lines(record: Path, function: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    return [line for line in lines if line["function"] == function]


def test_timers_run_on_their_schedule_and_at_start_up_where_asked(tmp_path: Path) -> None:
    record = tmp_path / "record"
    with running_host("triggers", tmp_path, settings=_settings(record) | _without(*_OTHERS)):
        wait_for(lambda: len(_lines(record, "ticks")) >= 2 and _lines(record, "yearly"))
    assert [line["past_due"] for line in _lines(record, "yearly")] == [False]
    assert _lines(record, "ticks")[0]["status"] in ({}, None)
    assert not _lines(record, "stubborn")


def test_a_timer_that_was_missed_runs_past_due_and_is_retried_as_its_policy_says(tmp_path: Path) -> None:
    record = tmp_path / "record"
    timers = tmp_path / "timers"
    timers.mkdir()
    missed = {
        "Last": "2020-01-01T04:00:00+00:00",
        "Next": "2021-01-01T04:00:00+00:00",
        "LastUpdated": "2020-01-01T04:00:00+00:00",
    }
    (timers / "stubborn.json").write_text(json.dumps(missed))
    with running_host("triggers", tmp_path, settings=_settings(record) | _without(*_OTHERS, "ticks")):
        wait_for(lambda: len(_lines(record, "stubborn")) == 3)
        wait_for(lambda: json.loads((timers / "stubborn.json").read_text())["Last"] > "2025")
    assert [(line["count"], line["limit"], line["past_due"]) for line in _lines(record, "stubborn")] == [
        (0, 2, True),
        (1, 2, True),
        (2, 2, True),
    ]


def test_timers_stay_off_where_another_instance_has_them_but_run_by_hand(tmp_path: Path) -> None:
    record = tmp_path / "record"
    settings = _settings(record) | _without(*_OTHERS)
    with running_host("triggers", tmp_path, "--timers", "off", settings=settings) as host:
        assert plain_http.post(f"{host.url}/admin/functions/stubborn", json={}).status_code == 202
        wait_for(lambda: len(_lines(record, "stubborn")) == 3)
        assert not _lines(record, "yearly")


def test_exponential_retries_wait_longer_each_time(tmp_path: Path) -> None:
    record = tmp_path / "record"
    settings = _settings(record) | _without(*_OTHERS, "ticks", "yearly")
    with running_host("triggers", tmp_path, settings=settings) as host:
        plain_http.post(f"{host.url}/admin/functions/patient", json={})
        wait_for(lambda: len(_lines(record, "patient")) == 3)
        host.wait_for_line("Waiting for `0:00:0")
        # After the last one there is no other.
        wait_for(lambda: _tally(host, "patient")["failures"] == 3 and not _tally(host, "patient")["running"])
    lines = _lines(record, "patient")
    gaps = [later["at"] - earlier["at"] for earlier, later in itertools.pairwise(lines)]
    assert [line["count"] for line in lines] == [0, 1, 2]
    assert gaps[0] < 0.8 <= gaps[1]


def test_a_schedule_follows_the_clock_of_website_time_zone(tmp_path: Path) -> None:
    settings = _settings(tmp_path / "record", WEBSITE_TIME_ZONE="Asia/Tokyo") | _without(*_OTHERS, "ticks")
    remembered = tmp_path / "timers" / "stubborn.json"
    with running_host("triggers", tmp_path, settings=settings):
        wait_for(remembered.is_file)
        due = datetime.fromisoformat(json.loads(remembered.read_text())["Next"])
    # Four in the morning there is seven in the evening here, the day before.
    assert (due.astimezone(UTC).hour, due.astimezone(UTC).day) == (19, 31)


def _tally(host: RunningHost, function: str) -> dict[str, Any]:
    functions = plain_http.get(f"{host.url}/admin/host/status").json()["functions"]
    found: dict[str, Any] = next(one for one in functions if one["name"] == function)
    return found


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Azurite, as a connection string."""
    with running_part("azurite", tmp_path_factory.mktemp("azurite")) as port:
        yield blob_connection(port)


def test_a_blob_runs_its_function_once_for_each_content(azurite: str, tmp_path: Path) -> None:
    record = tmp_path / "record"
    service = BlobServiceClient.from_connection_string(azurite)
    container = service.create_container("inbox")
    settings = _settings(record, azurite) | _without(*_TIMERS, *_OTHERS[1:])
    with running_host("triggers", tmp_path, settings=settings) as host:
        container.upload_blob("acme/a.txt", b"first", metadata={"kind": "letter"})
        container.upload_blob("acme/ignored.pdf", b"no text")
        copy = f"{host.url}/api/copies/acme-a.copy"
        wait_for(lambda: plain_http.get(copy).content == b"first")
        container.upload_blob("acme/a.txt", b"second", overwrite=True)
        wait_for(lambda: plain_http.get(copy).content == b"second")
        container.upload_blob("acme/bad.txt", b"poison")
        wait_for(lambda: plain_http.get(f"{host.url}/admin/host/status").json()["poisonBlobs"])
        assert plain_http.get(f"{host.url}/api/copies/absent").status_code == 404
    lines = _lines(record, "takes_blob")
    assert [line["body"] for line in lines] == ["first", "second", *["poison"] * 5]
    assert lines[0]["name"] == "inbox/acme/a.txt"
    assert lines[0]["uri"].endswith("/devstoreaccount1/inbox/acme/a.txt")
    assert (lines[0]["length"], lines[0]["metadata"]) == (5, {"kind": "letter"})
    with running_host("triggers", tmp_path, settings=settings):
        container.upload_blob("acme/z.txt", b"after the restart")
        wait_for(lambda: _lines(record, "takes_blob")[-1]["body"] == "after the restart")
    assert len(_lines(record, "takes_blob")) == 8
    service.close()


@pytest.fixture
def inbox(azurite: str) -> Iterator[ContainerClient]:
    """The container that the functions watch, empty."""
    with BlobServiceClient.from_connection_string(azurite) as service:
        container = service.get_container_client("inbox")
        try:
            container.create_container()
        except ResourceExistsError:
            for blob in container.list_blobs():
                container.delete_blob(blob.name)
        yield container


def test_a_blob_is_given_up_at_the_threshold_and_runs_by_hand(
    azurite: str, inbox: ContainerClient, tmp_path: Path
) -> None:
    record = tmp_path / "record"
    threshold = {"AzureFunctionsJobHost__extensions__blobs__poisonBlobThreshold": "2"}
    settings = _settings(record, azurite, **threshold) | _without(*_TIMERS, *_OTHERS[1:])
    inbox.upload_blob("acme/bad.txt", b"poison")
    with running_host("triggers", tmp_path, settings=settings) as host:
        poison = wait_for(lambda: plain_http.get(f"{host.url}/admin/host/status").json()["poisonBlobs"])
        host.wait_for_line("Message has reached MaxDequeueCount of 2")
        assert [blob["BlobName"] for blob in poison] == ["acme/bad.txt"]
        assert len(_lines(record, "takes_blob")) == 2
        plain_http.post(f"{host.url}/admin/functions/takes_blob", json={"input": "inbox/acme/bad.txt"})
        wait_for(lambda: len(_lines(record, "takes_blob")) == 3)


def test_a_blob_whose_name_xml_cannot_hold_runs_and_holds_no_other_up(
    azurite: str, inbox: ContainerClient, tmp_path: Path
) -> None:
    record = tmp_path / "record"
    settings = _settings(record, azurite) | _without(*_TIMERS, *_OTHERS[1:])
    for name in ("acme/\x01.txt", "acme/b.txt", "zeta/c.txt"):
        inbox.upload_blob(name, name.encode())
    with running_host("triggers", tmp_path, settings=settings):
        wait_for(lambda: len(_lines(record, "takes_blob")) == 3)
    names = {line["name"] for line in _lines(record, "takes_blob")}
    assert names == {"inbox/acme/\x01.txt", "inbox/acme/b.txt", "inbox/zeta/c.txt"}


def test_no_more_blobs_are_worked_on_at_once_than_allowed(
    azurite: str, inbox: ContainerClient, tmp_path: Path
) -> None:
    record = tmp_path / "record"
    one = {"AzureFunctionsJobHost__extensions__blobs__maxDegreeOfParallelism": "1"}
    settings = _settings(record, azurite, **one) | _without(*_TIMERS, *_OTHERS[1:])
    for number in range(3):
        inbox.upload_blob(f"acme/{number}.txt", b"slow")
    with running_host("triggers", tmp_path, settings=settings):
        wait_for(lambda: len(_lines(record, "takes_blob")) == 6)
    assert ["done" in line for line in _lines(record, "takes_blob")] == [False, True] * 3


def test_blob_bindings_write_and_read_every_kind_of_value(azurite: str, tmp_path: Path) -> None:
    settings = _settings(tmp_path / "record", azurite) | _without(*_TIMERS, *_OTHERS)
    large = "DummyData" * (1 << 20)
    with running_host("triggers", tmp_path, settings=settings) as host:
        assert plain_http.post(f"{host.url}/api/text", content="Grüße").text == "OK"
        assert plain_http.get(f"{host.url}/api/text/text").text == "str: Grüße"
        assert plain_http.post(f"{host.url}/api/text", content=large, timeout=60).text == "OK"
        assert plain_http.get(f"{host.url}/api/stream/text", timeout=60).text == large
        assert plain_http.post(f"{host.url}/api/file").text == "OK"
        assert plain_http.get(f"{host.url}/api/stream/file").text == "like a file"
        returned = plain_http.post(f"{host.url}/api/returned")
        assert (returned.status_code, returned.text) == (200, "")
        assert plain_http.get(f"{host.url}/api/stream/returned").text == "returned"
