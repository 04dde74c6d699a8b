"""A client of Azure Cosmos DB with azure-cosmos's names: the import is the line that changes."""

from tenantry_client.cosmos import exceptions
from tenantry_client.cosmos.answers import CosmosDict, CosmosList
from tenantry_client.cosmos.client import CosmosClient
from tenantry_client.cosmos.container import ContainerProxy
from tenantry_client.cosmos.database import DatabaseProxy
from tenantry_client.cosmos.documents import ConsistencyLevel, MatchConditions
from tenantry_client.cosmos.partition_key import PartitionKey

__all__ = (
    "ConsistencyLevel",
    "ContainerProxy",
    "CosmosClient",
    "CosmosDict",
    "CosmosList",
    "DatabaseProxy",
    "MatchConditions",
    "PartitionKey",
    "exceptions",
)
