"""The app `broken_import`."""
