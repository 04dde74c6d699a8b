"""The app's HTTP API as the tour uses it: any client could."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

_SECONDS = 30.0
_CONFLICT = 409
_NOT_FOUND = 404


class TourError(Exception):
    """The app did not do what the tour shows."""


class Api:
    """One caller of the app, with one key."""

    def __init__(self, client: httpx.Client, key: str) -> None:
        self._client = client
        self._headers = {"authorization": f"Bearer {key}"}

    def get(self, path: str, **query: str) -> Any:  # noqa: ANN401  # JSON of any shape
        """Return what a resource answers.

        Raises:
            TourError: It is not there.
        """
        return _checked(self._client.get(path, params=query, headers=self._headers)).json()

    def put(self, path: str, body: object) -> Any:  # noqa: ANN401  # JSON of any shape
        """Store a resource and return it.

        Raises:
            TourError: It was refused.
        """
        return _checked(self._client.put(path, json=body, headers=self._headers)).json()

    def post(self, path: str, body: object) -> Any:  # noqa: ANN401  # JSON of any shape
        """Ask for something and return the answer.

        Raises:
            TourError: It was refused.
        """
        return _checked(self._client.post(path, json=body, headers=self._headers)).json()

    def patch(self, path: str, body: object) -> Any:  # noqa: ANN401  # JSON of any shape
        """Change a resource and return it.

        Raises:
            TourError: It was refused.
        """
        return _checked(self._client.patch(path, json=body, headers=self._headers)).json()

    def find(self, path: str) -> Any:  # noqa: ANN401  # JSON of any shape
        """Return a resource, or None where there is none.

        Raises:
            TourError: The app does not answer as it should.
        """
        answer = self._client.get(path, headers=self._headers)
        return None if answer.status_code == _NOT_FOUND else _checked(answer).json()

    def stream(self, path: str, body: object) -> Iterator[tuple[str, Any]]:
        """Ask for something that comes by events, and give the name and the data of each as it comes.

        Raises:
            TourError: It was refused.
        """
        with self._client.stream("POST", path, json=body, headers=self._headers) as answer:
            if answer.is_error:
                answer.read()
            name = ""
            for line in _checked(answer).iter_lines():
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield name, json.loads(value)

    def delete(self, path: str) -> None:
        """Delete a resource.

        Raises:
            TourError: It was refused.
        """
        _checked(self._client.delete(path, headers=self._headers))

    def create(self, path: str, body: object) -> bool:
        """Create something and tell whether it is new.

        Raises:
            TourError: It was refused for another reason than being there already.
        """
        answer = self._client.post(path, json=body, headers=self._headers)
        if answer.status_code == _CONFLICT:
            return False
        _checked(answer)
        return True

    def status(self, path: str) -> int:
        """Return how a resource answers this caller, whatever that is."""
        return self._client.get(path, headers=self._headers).status_code


def wait_for[T](what: str, ask: Callable[[], T], done: Callable[[T], bool], seconds: float = _SECONDS) -> T:
    """Ask until the answer is the wanted one.

    Raises:
        TourError: It was not in time.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        answer = ask()
        if done(answer):
            return answer
        time.sleep(0.1)
    raise TourError(f"{what} did not happen within {seconds:.0f} s")


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        raise TourError(
            f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}"
        )
    return answer
