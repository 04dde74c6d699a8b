"""Feedback: what is found in it, what is made of it, and what becomes of it."""
