"""Settings files, percent names and connections."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.host.cors import CorsPolicy
from local.host.jsonc import read_json
from local.host.settings import Connection, SettingError, Settings, host_section, load_settings

if TYPE_CHECKING:
    from pathlib import Path


def _write(folder: Path, name: str, content: object) -> None:
    (folder / name).write_text(json.dumps(content))


def test_the_environment_wins_over_the_file_and_the_file_is_put_into_it(tmp_path: Path) -> None:
    _write(tmp_path, "local.settings.json", {"Values": {"A": "file", "B": "file"}})
    _write(tmp_path, "local.settings.sample.json", {"Values": {"C": "sample"}})
    environment = {"A": "real"}
    settings = load_settings(tmp_path, environment)
    assert (settings.get("a"), settings.get("B"), settings.get("C")) == ("real", "file", None)
    assert environment == {"A": "real", "B": "file"}


def test_the_sample_is_read_where_there_is_no_file(tmp_path: Path) -> None:
    _write(tmp_path, "local.settings.sample.json", {"Values": {"C": "sample"}})
    assert load_settings(tmp_path, {}).get("C") == "sample"
    assert load_settings(tmp_path / "elsewhere", {}).get("C") is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([], "expected an object"),
        ({"IsEncrypted": True}, "encrypted"),
        ({"Values": {"A": [1]}}, "value of A has to be a text"),
    ],
)
def test_a_broken_file_is_refused(content: object, reason: str, tmp_path: Path) -> None:
    _write(tmp_path, "local.settings.json", content)
    with pytest.raises(SettingError, match=reason):
        load_settings(tmp_path, {})


def test_a_file_is_read_as_azures_tools_read_it(tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text(
        """\ufeff{
            // a comment, "with a text", and a comma,
            "Values": { /* another
                one */ "A": 1, "B": 1.50, "C": true, "D": "http://x, // no comment ,}", "E": null,
                "F": "a \\"quoted\\" // text",
            },
            "Host": {"CORS": "https://a.example, https://b.example/", "LocalHttpPort": 7072,},
        }""",
        encoding="utf-8",
    )
    environment: dict[str, str] = {}
    load_settings(tmp_path, environment)
    assert environment == {
        "A": "1",
        "B": "1.50",
        "C": "true",
        "D": "http://x, // no comment ,}",
        "F": 'a "quoted" // text',
    }
    policy = CorsPolicy.parse(host_section(tmp_path))
    assert policy is not None
    assert policy.origins == {"https://a.example", "https://b.example"}


@given(st.recursive(st.text() | st.integers() | st.booleans() | st.none(), st.lists))
@pytest.mark.slow
def test_plain_json_is_read_as_it_is(content: object) -> None:
    assert read_json(json.dumps(content, ensure_ascii=False)) == content
    assert read_json(json.dumps({"a": content}, indent=2)) == {"a": content}


def test_credentials_for_every_origin_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Host\.CORSCredentials"):
        CorsPolicy.parse({"CORS": "*", "CORSCredentials": True})
    assert CorsPolicy.parse({}) is None


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text("{")
    with pytest.raises(SettingError, match="not JSON"):
        load_settings(tmp_path, {})


def test_percent_names_resolve_and_a_missing_one_is_named() -> None:
    settings = Settings({"QUEUE": "orders", "A__B": "nested", "ON": "True"})
    assert settings.resolve("x-%queue%-y 100%") == "x-orders-y 100%"
    assert settings.get("A:B") == "nested"
    assert settings.flag("on")
    assert not settings.flag("off")
    with pytest.raises(SettingError, match="there is no setting ABSENT"):
        settings.resolve("%ABSENT%")


def test_servicebus_connections() -> None:
    settings = Settings(
        {"BUS": "Endpoint=sb://x", "ID__fullyQualifiedNamespace": "ns.servicebus.windows.net"}
    )
    assert settings.servicebus("BUS") == Connection(connection_string="Endpoint=sb://x")
    assert settings.servicebus("ID") == Connection(address="ns.servicebus.windows.net")
    assert Settings({"AzureWebJobsBUS": "y", "BUS": "x"}).servicebus("BUS") == Connection(
        connection_string="y"
    )
    assert Settings({"AzureWebJobsServiceBus": "y"}).servicebus("") == Connection(connection_string="y")
    with pytest.raises(SettingError, match="AzureWebJobsNONE"):
        settings.servicebus("NONE")


def test_storage_connections() -> None:
    settings = Settings(
        {
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            "S": "AccountName=x;AccountKey=y",
            "U__blobServiceUri": "https://x.blob",
            "A__accountName": "acct",
        }
    )
    development = settings.blobs("AzureWebJobsStorage").connection_string or ""
    assert "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;" in development
    assert settings.blobs("") == settings.blobs("AzureWebJobsStorage")
    assert settings.blobs("S").connection_string == "AccountName=x;AccountKey=y"
    assert settings.blobs("U").address == "https://x.blob"
    assert settings.blobs("A").address == "https://acct.blob.core.windows.net"
    with pytest.raises(SettingError, match="AzureWebJobsNONE"):
        settings.blobs("NONE")
