"""The Cosmos client, apart from any service."""
