"""Sending over Service Bus."""
