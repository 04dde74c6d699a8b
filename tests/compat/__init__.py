"""Clients of OpenAI's API that people use, each in its newest pinned version, with base URL and key alone."""
