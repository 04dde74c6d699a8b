"""Messages to queues, over Service Bus."""
