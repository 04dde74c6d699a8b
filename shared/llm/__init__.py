"""Chat models: the contract, the client, token counting, and metering against a tenant's budget."""
