"""Every exception that the library raises or hands to a user.

An error has a side. Misuse by the program that runs this library is *local*: it raises at the caller and says what was
wrong. Misuse by the peer is *remote*: it never raises out of a ``receive_*`` call, it becomes a closed session with a
reason, and an event. What a user's handler raises stops nobody else: it goes to the one ``on_error`` hook.
"""

from __future__ import annotations

from typing import Any


class ProtocolError(Exception):
    """The base of both sides' protocol errors."""


class LocalProtocolError(ProtocolError):
    """The calling program did something the protocol, or this library's state, does not allow."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something invalid. Carried by events and ``error`` handlers; never raised at a caller."""


class MissingArguments(RemoteProtocolError):
    """An event came with fewer arguments than its handler needs, so that was not called. For ``on_error`` alone."""


class InvalidPayload(RemoteProtocolError):
    """What came with an event was rejected by its ``validate``, so that none of its handlers was called.

    It goes to ``on_error`` and, on a server, to the socket's ``error`` handlers. Raise it in ``validate`` to choose
    what is acknowledged if the other side asked: ``answer`` means what the return value of a handler means, and is
    ``{"error": "invalid payload"}`` unless you say otherwise. Whatever else is raised there becomes one.
    """

    def __init__(self, message: str, answer: Any = ...) -> None:
        super().__init__(message)
        self.answer = {"error": "invalid payload"} if answer is ... else answer


class OptionError(LocalProtocolError, TypeError):
    """An option that does not exist, or a value that it cannot have. The text names the nearest known option."""


class ReservedEventError(LocalProtocolError):
    """``emit`` was called with a name that Socket.IO keeps for itself, such as ``disconnect``."""

    def __init__(self, event: str) -> None:
        super().__init__(f'"{event}" is a reserved event name')
        self.event = event


class ConnectError(Exception):
    """Raise this in a namespace middleware to refuse a client.

    The client's ``connect_error`` handler gets an error with ``message`` and, where given, ``data`` (Socket.IO
    protocol, packet CONNECT_ERROR). Any other exception refuses the client as well, with a fixed text, and goes to
    ``on_error``.
    """

    def __init__(self, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class Forbidden(Exception):
    """Raise this in ``allow_request`` to refuse a session: HTTP 403 with code 4 and ``message`` as its text."""

    def __init__(self, message: str = "Forbidden") -> None:
        super().__init__(message)
        self.message = message


class AckTimeout(TimeoutError):
    """The acknowledgement that was waited for did not come in time."""

    def __init__(self, message: str = "operation has timed out") -> None:
        super().__init__(message)


class Disconnected(ConnectionError):
    """The socket disconnected before it acknowledged the event."""

    def __init__(self, message: str = "socket has been disconnected") -> None:
        super().__init__(message)


def is_remote(error: BaseException) -> bool:
    """Returns whether an error that came out of a handler is the peer's doing, and no fault of the program.

    A runtime tells of those quietly: a peer that sends too little, answers too late or leaves could otherwise fill a
    log.
    """
    return isinstance(error, AckTimeout | Disconnected | RemoteProtocolError)
