"""A Cosmos DB (NoSQL API) endpoint for one machine: the REST wire protocol over SQLite."""
