"""An app whose function takes a client of an SDK, by a converter as the blob extension registers one."""

from typing import Any

import azure.functions as func
from azurefunctions.extensions.base import Datum, InConverter, SdkType

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


class BlobClient(SdkType):  # type: ignore[misc]  # the extension is untyped
    """A client of one blob."""

    def get_sdk_type(self) -> object:
        """Return the SDK's own client."""
        return None


class BlobClientConverter(InConverter, binding="blob", trigger="blobTrigger"):  # type: ignore[misc, call-arg]  # same
    """Makes clients of what the host sends."""

    @classmethod
    def check_input_type_annotation(cls, pytype: type) -> bool:
        """Whether a parameter may be of this type."""
        return issubclass(pytype, SdkType)

    @classmethod
    def decode(cls, data: Datum, *, trigger_metadata: Any, pytype: type) -> object:  # noqa: ANN401 -- the extension's
        """Make a client."""
        raise NotImplementedError


@app.route(route="a")
@app.blob_input(arg_name="client", path="c/b", connection="STORAGE")
def work(req: func.HttpRequest, client: BlobClient) -> str:
    """Work on a blob."""
    return ""
