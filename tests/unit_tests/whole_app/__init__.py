"""The whole app over a store in memory: what holds for every route at once."""
