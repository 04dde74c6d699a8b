"""The stand-in model through the official client."""
