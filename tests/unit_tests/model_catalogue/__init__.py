"""The catalogue of models through its routes."""
