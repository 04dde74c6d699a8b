"""Reasoning jobs: accepted once, paid once, told once, whatever breaks in between."""
