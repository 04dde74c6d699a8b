"""Small faults put into the core, one at a time, and whether its tests notice: `make mutants`."""
