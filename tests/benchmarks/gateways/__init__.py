"""Gateways before one stub of a model: this app, LiteLLM's proxy, and the least that forwards at all."""
