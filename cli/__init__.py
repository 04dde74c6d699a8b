"""Programs for the command line that speak to a deployment over HTTP."""
