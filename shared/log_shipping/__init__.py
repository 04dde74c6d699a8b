"""Log files on their way to blobs: found when they are complete, delivered, remembered, removed."""
