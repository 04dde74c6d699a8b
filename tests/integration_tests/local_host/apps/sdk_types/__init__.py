"""The app `sdk_types`."""
