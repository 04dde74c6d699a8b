"""Deliveries of rotated files: whole, as the common library document has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from shared.blob.uploader import AsyncBlobStorageUploader
    from shared.log_shipping.rotated_files import RotatedFile


class FileBusyError(Exception):
    """Another process delivers the file just now."""


class FileDelivery(Protocol):
    """Way of rotated files to where they are kept."""

    async def initialize(self) -> None:
        """Open what it needs; doing it again changes nothing."""
        ...

    def hurry(self) -> None:
        """Wait for nothing any more: what fails from now on has failed."""
        ...

    async def shutdown(self) -> None:
        """End what is under way, and close."""
        ...

    def set_aside(self, directory: Path) -> None:
        """Rotate what is due, before a folder is looked through. It runs in a thread."""
        ...

    async def deliver(self, file: RotatedFile, failures: int) -> str:
        """Return once the file has arrived, under which name.

        Args:
            file: The file.
            failures: How often that has failed before.

        Raises:
            FileBusyError: Another process delivers it.
            DependencyUnavailableError: The store does not take it; any other error means as much.
        """
        ...


class WholeFiles:
    """Files as they are, by an uploader, each under its name and a digest of its content.

    Args:
        uploader: Uploads them, however long that takes: one that fails holds no other back.
        app_name: What blob names begin with.
    """

    def __init__(self, uploader: AsyncBlobStorageUploader, app_name: str) -> None:
        self._uploader = uploader
        self._app_name = app_name

    async def initialize(self) -> None:
        """Open the uploader."""
        await self._uploader.initialize()

    def hurry(self) -> None:
        """Let the uploader try each file once more."""
        self._uploader.hurry()

    async def shutdown(self) -> None:
        """Shut the uploader down."""
        await self._uploader.shutdown()

    def set_aside(self, directory: Path) -> None:
        """Leave rotation to the program that writes."""

    async def deliver(self, file: RotatedFile, failures: int) -> str:  # noqa: ARG002  # the protocol's
        """Upload the file; return its blob's name."""
        return await (await self._uploader.upload_file(file.path, app_name=self._app_name))
