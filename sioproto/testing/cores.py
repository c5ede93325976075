"""What a world drives: the verbs that every floor of a server has, and those of a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sioproto.config import EngineConfig
    from sioproto.engineio.fetch import Fetch
    from sioproto.engineio.link import Link
    from sioproto.engineio.request import Exchange, Request, Response


class Timed(Protocol):
    """What both sides have."""

    def next_deadline(self) -> float | None:
        """Returns when ``handle_timeout`` wants to be called; now, while something large is decoded in slices."""
        ...

    def handle_timeout(self) -> None:
        """Does what is due."""
        ...

    def receive_messages(self, link: Link, messages: Sequence[str | bytes]) -> None:
        """Takes whole messages of a WebSocket."""
        ...

    def receive_link_closed(self, link: Link, code: int | None = None, error: str | None = None) -> None:
        """Says that a WebSocket is over."""
        ...

    def receive_blocked(self, link: Link) -> None:
        """Says that a WebSocket takes no more for now."""
        ...

    def receive_unblocked(self, link: Link) -> None:
        """Says that it takes data again."""
        ...


class ServerCore(Timed, Protocol):
    """An ``EngineServer``, a ``SocketServer`` or a ``Server``."""

    @property
    def engine_config(self) -> EngineConfig:
        """The options of the Engine.IO floor."""
        ...

    def receive_request(self, request: Request, owner: object = None) -> Exchange:
        """Takes the head of a request."""
        ...

    def receive_body(self, exchange: Exchange, body: bytes) -> None:
        """Takes the body of a request that wants it."""
        ...

    def receive_oversize(self, exchange: Exchange) -> None:
        """Says that the body is too large."""
        ...

    def receive_abort(self, exchange: Exchange) -> None:
        """Says that nobody waits for the answer any more."""
        ...

    def take_dirty(self) -> list[Exchange | Link]:
        """Returns what has output."""
        ...


class ClientCore(Timed, Protocol):
    """An ``EngineClient``, a ``SocketClient`` or a ``Client``."""

    def receive_response(self, fetch: Fetch, response: Response) -> None:
        """Takes the answer to a request."""
        ...

    def receive_failure(self, fetch: Fetch, error: str) -> None:
        """Says that a request gets no answer."""
        ...

    def take_dirty(self) -> list[Fetch | Link]:
        """Returns what has output."""
        ...
