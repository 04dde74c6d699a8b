"""Model client, token counting and metering."""
