"""Programs of infra that speak to Cosmos DB, on the local endpoint."""
