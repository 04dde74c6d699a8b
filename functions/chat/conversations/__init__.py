"""Conversations with bots: their turns, and the way of one turn."""
