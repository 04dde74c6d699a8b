"""The token ledger through the real SDK."""
