"""The whole product on one machine: the real app through its public API."""
