"""A local Azure Functions host over Microsoft's own Python worker runtime."""
