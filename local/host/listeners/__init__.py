"""What makes functions run without a request: queues, clocks and blobs."""
