"""The queues themselves: messages, locks, sessions and schedules, without I/O and on an injected clock."""
