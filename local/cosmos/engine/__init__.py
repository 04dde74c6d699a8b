"""What requests mean: databases, containers, items, patches, batches, feeds, queries, limits, faults."""
