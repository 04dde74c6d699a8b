"""The Service Bus handler of the common library document."""
