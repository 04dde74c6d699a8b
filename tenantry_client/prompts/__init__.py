"""Prompts as files: reading, writing, and the way to and from a deployment."""
