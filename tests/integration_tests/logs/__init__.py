"""Log lines on their way from processes that are killed to a blob endpoint that is down at times."""
