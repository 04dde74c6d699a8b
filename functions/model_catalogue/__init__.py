"""Catalogue of the models that may be called."""
