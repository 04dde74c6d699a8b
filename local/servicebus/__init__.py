"""A Service Bus endpoint for one machine: AMQP 1.0 over TCP, queues on SQLite."""
