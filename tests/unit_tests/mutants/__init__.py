"""The mutation run's own parts."""
