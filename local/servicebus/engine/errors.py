"""What a queue refuses, in Service Bus's own words: an AMQP error condition and a management status each."""

from __future__ import annotations

from typing import ClassVar


class BrokerError(Exception):
    """A request that the broker refuses; the caller is told the condition and the message."""

    condition: ClassVar[str] = "amqp:internal-error"
    status: ClassVar[int] = 500


class EntityNotFoundError(BrokerError):
    """No queue has that name."""

    condition = "amqp:not-found"
    status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"The messaging entity '{name}' could not be found.")


class NotAllowedError(BrokerError):
    """The queue's own settings forbid it."""

    condition = "amqp:not-allowed"
    status = 400


class NotSupportedError(BrokerError):
    """Service Bus has it, this endpoint does not."""

    condition = "amqp:not-implemented"
    status = 501


class InvalidArgumentError(BrokerError):
    """A request lacks an argument, or has a wrong one."""

    condition = "com.microsoft:argument-error"
    status = 400


class MessageLockLostError(BrokerError):
    """The lock has expired, or the message was settled already."""

    condition = "com.microsoft:message-lock-lost"
    status = 410

    def __init__(self) -> None:
        super().__init__(
            "The lock supplied is invalid. Either the lock expired, or the message has already been removed "
            "from the queue."
        )


class SessionLockLostError(BrokerError):
    """The session is no longer held by whoever asks."""

    condition = "com.microsoft:session-lock-lost"
    status = 410

    def __init__(self, session_id: str | None) -> None:
        super().__init__(
            f"The session lock was lost. Request a new session receiver. Session: '{session_id}'."
        )


class SessionCannotBeLockedError(BrokerError):
    """Another receiver holds the session."""

    condition = "com.microsoft:session-cannot-be-locked"
    status = 410

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"The requested session '{session_id}' cannot be accepted. It may be locked by another receiver."
        )


class MessageNotFoundError(BrokerError):
    """No message has that sequence number in the state that is asked for."""

    condition = "com.microsoft:message-not-found"
    status = 404
