"""The queue edge: messages taken, refused, and sent."""
