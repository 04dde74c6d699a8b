"""The Cosmos client for asyncio: `azure.cosmos.aio`'s names."""

from tenantry_client.cosmos.aio.client import CosmosClient
from tenantry_client.cosmos.aio.container import ContainerProxy
from tenantry_client.cosmos.aio.database import DatabaseProxy

__all__ = ("ContainerProxy", "CosmosClient", "DatabaseProxy")
