"""The queues themselves: messages, locks, sessions, schedules and duplicates, without I/O and on an injected clock."""
