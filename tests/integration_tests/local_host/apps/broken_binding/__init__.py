"""The app `broken_binding`."""
