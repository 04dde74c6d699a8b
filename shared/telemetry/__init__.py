"""Traces and metrics, where an exporter is configured."""
