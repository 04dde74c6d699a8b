"""Dead letters over the real SDKs."""
