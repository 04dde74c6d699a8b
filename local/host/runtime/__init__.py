"""The driver of the worker runtime: nothing outside this package imports `azure_functions_runtime`."""
