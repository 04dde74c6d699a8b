"""Starts the parts of the local platform and the app's host, watches over them and stops them."""
