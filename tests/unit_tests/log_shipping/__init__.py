"""Rotated log files: found, delivered, remembered, removed."""
