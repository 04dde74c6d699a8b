"""The demo on a real local platform."""
