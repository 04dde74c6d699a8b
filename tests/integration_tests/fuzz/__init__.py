"""The running app under schemathesis."""
