"""The Service Bus endpoint without sockets: engine, storage and wire protocol on a clock to be set."""
