"""Bots, chat and conversations."""
