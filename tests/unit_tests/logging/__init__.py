"""Logging: context, redaction, formats, files, set-up."""
