"""Feedback on the local platform, through the official SDKs."""
