"""What replaces Azure on one machine; never imported by the app."""
