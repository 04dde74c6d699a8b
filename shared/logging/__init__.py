"""Structured logs: context, redaction, rotation."""
