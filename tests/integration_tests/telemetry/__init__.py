"""Telemetry over the wire."""
