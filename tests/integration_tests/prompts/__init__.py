"""Prompts through the real SDK."""
