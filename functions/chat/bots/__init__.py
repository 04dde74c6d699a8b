"""Bots: their configuration and where it is stored."""
