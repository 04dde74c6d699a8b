"""Health, the OpenAPI document, and what no other route answers."""
