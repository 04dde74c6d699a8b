"""The Service Bus endpoint through the real SDKs over real sockets."""
