"""OpenAI's interface, in which any of its clients can use the tenant's models and bots."""
