"""Jobs that go on without their caller: models, store and outbox."""
