"""Figures, side by side with a named peer or floor."""
