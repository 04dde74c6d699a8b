"""HTTP calls to a deployment: bounded in time, bytes and attempts."""
