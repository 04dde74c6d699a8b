"""The published contract: the OpenAPI document and the message schemas, and what may not change in them."""
