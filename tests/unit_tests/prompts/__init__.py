"""Prompts: rendering, versions, and the routes."""
