"""The token ledger: what each tenant may use per minute, and what it used."""
