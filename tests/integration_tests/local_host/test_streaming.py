"""HTTP functions of FastAPI types, over real sockets."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.integration_tests.local_host.running import running_host, wait_for
from tests.support.plain_http import plain_http

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration_tests.local_host.running import RunningHost


def _seen(host: RunningHost) -> dict[str, object]:
    content: dict[str, object] = plain_http.get(f"{host.url}/api/seen").json()
    return content


def test_an_async_function_answers(streaming: RunningHost) -> None:
    answer = plain_http.get(f"{streaming.url}/api/ping")
    assert (answer.status_code, answer.text) == (200, "pong")


def test_a_sync_function_answers_and_its_prints_and_logs_go_to_stderr(streaming: RunningHost) -> None:
    assert plain_http.get(f"{streaming.url}/api/ping_sync").text == "pong from a thread"
    streaming.wait_for_line("printed by a function")
    assert streaming.wait_for_line("logged by a function") == "logged by a function\n"


def test_route_parameters_and_the_query_arrive_decoded(streaming: RunningHost) -> None:
    answer = plain_http.get(f"{streaming.url}/api/orders/J%C3%BCrgen%20M/42/a/b%2Fc?q=1").json()
    assert answer == {"params": {"customer": "Jürgen M", "id": "42", "rest": "a/b%2Fc"}, "query": {"q": "1"}}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "orders/x/no-number/r"), ("DELETE", "ping"), ("GET", "absent")]
)
def test_what_no_route_takes_is_a_404(streaming: RunningHost, method: str, path: str) -> None:
    assert plain_http.request(method, f"{streaming.url}/api/{path}").status_code == 404


def test_an_upload_arrives_as_a_stream(streaming: RunningHost) -> None:
    def chunks() -> Iterator[bytes]:
        yield from (b"first,", b"second")

    answer = plain_http.post(f"{streaming.url}/api/echo", content=chunks())
    assert answer.content == b"first,second"


def test_a_stream_arrives_whole(streaming: RunningHost) -> None:
    answer = plain_http.get(f"{streaming.url}/api/numbers/50")
    assert answer.text.split() == [str(number) for number in range(50)]
    assert answer.headers["transfer-encoding"] == "chunked"


def test_a_client_that_leaves_closes_the_generator(streaming: RunningHost) -> None:
    with plain_http.stream("GET", f"{streaming.url}/api/endless/leaver") as answer:
        next(answer.iter_bytes())
    wait_for(lambda: "leaver" in str(_seen(streaming)["closed"]))


def test_a_slow_reader_holds_the_stream_back(streaming: RunningHost) -> None:
    with socket.create_connection(("127.0.0.1", streaming.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(b"GET /api/flood HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.recv(1000)
        steady: list[object] = []

        def settled() -> bool:
            steady.append(_seen(streaming)["produced"])
            return len(steady) > 10 and len(set(steady[-10:])) == 1

        wait_for(settled)
        assert int(str(steady[-1])) < 32 << 20


def test_an_exception_is_a_500_and_told_on_stderr(streaming: RunningHost) -> None:
    assert plain_http.get(f"{streaming.url}/api/fails").status_code == 500
    streaming.wait_for_line("Exception: ValueError: on purpose")


def test_an_exception_midway_breaks_the_answer_off(streaming: RunningHost) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        plain_http.get(f"{streaming.url}/api/fails_midway")


def test_a_function_is_ended_at_function_timeout(streaming: RunningHost) -> None:
    answer = plain_http.get(f"{streaming.url}/api/too_slow", timeout=20)
    assert answer.status_code == 500
    streaming.wait_for_line("Timeout value of 0:00:02 exceeded by function 'Functions.too_slow'")


def test_an_unknown_option_of_host_json_is_named(streaming: RunningHost) -> None:
    streaming.wait_for_line("host.json: the option 'madeUp' is not supported")


def test_the_state_counts_invocations_and_failures(streaming: RunningHost) -> None:
    plain_http.get(f"{streaming.url}/api/fails")
    status = plain_http.get(f"{streaming.url}/admin/host/status").json()
    fails = next(function for function in status["functions"] if function["name"] == "fails")
    assert status["state"] == "Running"
    assert fails["invocations"] == fails["failures"] > 0
    assert fails["address"].startswith("[GET] http://localhost:")
    assert fails["recentFailures"][-1]["message"] == "ValueError: on purpose"


def test_an_http_function_can_be_run_by_hand(streaming: RunningHost) -> None:
    before = len([line for line in streaming.stderr if "printed by a function" in line])
    answer = plain_http.post(f"{streaming.url}/admin/functions/ping_sync", json={"input": "x"})
    assert answer.status_code == 202
    wait_for(lambda: len([line for line in streaming.stderr if "printed by a function" in line]) > before)


def test_admin_functions_describe_themselves(streaming: RunningHost) -> None:
    info = plain_http.get(f"{streaming.url}/admin/functions/order").json()
    assert info["invoke_url_template"].endswith("/api/orders/{customer}/{id:int}/{*rest}")
    assert info["config"]["bindings"][0]["type"] == "httpTrigger"
    assert plain_http.get(f"{streaming.url}/admin/functions/absent").status_code == 404
    assert plain_http.post(f"{streaming.url}/admin/functions/ping", content=b"{}").status_code == 415
    assert plain_http.post(f"{streaming.url}/admin/functions/ping", json=[]).status_code == 400


def test_an_upload_over_the_limit_is_a_413_while_it_streams(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(1000)

    with running_host("streaming", tmp_path, settings={"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "50000"}) as host:
        assert plain_http.post(f"{host.url}/api/echo", content=bytes(50_000)).status_code == 200
        assert plain_http.post(f"{host.url}/api/echo", content=bytes(50_001)).status_code == 413
        assert plain_http.post(f"{host.url}/api/echo", content=chunks()).status_code == 413


def test_a_slow_function_holds_an_upload_back(streaming: RunningHost) -> None:
    with socket.create_connection(("127.0.0.1", streaming.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        client.settimeout(1.0)
        client.sendall(
            b"POST /api/reads_once HTTP/1.1\r\nHost: localhost\r\nContent-Length: 67108864\r\n\r\n"
        )
        sent = 0
        with suppress(TimeoutError):
            while sent < 64 << 20:
                sent += client.send(bytes(65536))
        assert sent < 32 << 20


def test_a_client_that_leaves_while_it_uploads_is_noticed(streaming: RunningHost) -> None:
    with socket.create_connection(("127.0.0.1", streaming.port)) as client:
        client.sendall(
            b"POST /api/uploads/quitter HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nfirst"
        )
        wait_for(lambda: "quitter began" in str(_seen(streaming)["closed"]))
    wait_for(lambda: "quitter broken off" in str(_seen(streaming)["closed"]))


def test_requests_over_max_outstanding_requests_are_a_429(tmp_path: Path) -> None:
    one = {"AzureFunctionsJobHost__extensions__http__maxOutstandingRequests": "1"}
    with running_host("streaming", tmp_path, settings=one) as host:
        with plain_http.stream("GET", f"{host.url}/api/endless/holder") as answer:
            held = answer.iter_bytes()  # while it is there, the client is
            next(held)
            assert plain_http.get(f"{host.url}/api/ping").status_code == 429
        wait_for(lambda: plain_http.get(f"{host.url}/api/ping").status_code == 200)


def test_requests_over_max_concurrent_requests_wait(tmp_path: Path) -> None:
    one = {"AzureFunctionsJobHost__extensions__http__maxConcurrentRequests": "1"}
    with running_host("streaming", tmp_path, settings=one) as host:
        with plain_http.stream("GET", f"{host.url}/api/endless/holder") as answer:
            held = answer.iter_bytes()  # while it is there, the client is
            next(held)
            with pytest.raises(httpx.ReadTimeout):
                plain_http.get(f"{host.url}/api/ping", timeout=1)
        assert plain_http.get(f"{host.url}/api/ping", timeout=20).text == "pong"
