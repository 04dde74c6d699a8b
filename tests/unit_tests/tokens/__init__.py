"""The token ledger and its route."""
