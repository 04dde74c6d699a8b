"""Telemetry without an exporter, and what it reads."""
