"""Errors of the client: azure-cosmos's own classes where it is installed, so that `except` clauses hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenantry_client.cosmos.standalone_exceptions import (
        AzureError,
        CosmosAccessConditionFailedError,
        CosmosBatchOperationError,
        CosmosClientTimeoutError,
        CosmosHttpResponseError,
        CosmosResourceExistsError,
        CosmosResourceNotFoundError,
        DecodeError,
        HttpResponseError,
        ServiceRequestError,
        ServiceResponseError,
    )
else:
    try:
        from azure.core.exceptions import (
            AzureError,
            DecodeError,
            HttpResponseError,
            ServiceRequestError,
            ServiceResponseError,
        )
        from azure.cosmos.exceptions import (
            CosmosAccessConditionFailedError,
            CosmosBatchOperationError,
            CosmosClientTimeoutError,
            CosmosHttpResponseError,
            CosmosResourceExistsError,
            CosmosResourceNotFoundError,
        )
    except ImportError:
        from tenantry_client.cosmos.standalone_exceptions import (
            AzureError,
            CosmosAccessConditionFailedError,
            CosmosBatchOperationError,
            CosmosClientTimeoutError,
            CosmosHttpResponseError,
            CosmosResourceExistsError,
            CosmosResourceNotFoundError,
            DecodeError,
            HttpResponseError,
            ServiceRequestError,
            ServiceResponseError,
        )

__all__ = (
    "AzureError",
    "CosmosAccessConditionFailedError",
    "CosmosBatchOperationError",
    "CosmosClientTimeoutError",
    "CosmosHttpResponseError",
    "CosmosResourceExistsError",
    "CosmosResourceNotFoundError",
    "DecodeError",
    "HttpResponseError",
    "ServiceRequestError",
    "ServiceResponseError",
)
