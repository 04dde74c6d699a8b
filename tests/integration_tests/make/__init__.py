"""Targets of the Makefile, run as a developer would, in a copy of the tree."""
