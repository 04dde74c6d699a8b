"""The blob endpoint of the local platform: Azurite from npm, run as a part."""
