"""Blob Storage behind the app's Protocol."""
