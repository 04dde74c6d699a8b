"""The stand-in model without a socket."""
