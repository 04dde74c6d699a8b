"""The edges, retries, settings and the OpenAPI document."""
