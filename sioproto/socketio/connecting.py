"""The ticket of a CONNECT: a question that is open until somebody accepts or refuses, or the client goes away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sioproto.socketio.client import Client
    from sioproto.socketio.dynamic import DynamicNamespace
    from sioproto.socketio.socket import Socket


class ConnectTicket:
    """One client that asks for one namespace."""

    __slots__ = ("auth", "client", "name", "parents", "socket")

    def __init__(self, client: Client, name: str, auth: dict[str, Any], parents: Iterator[DynamicNamespace]) -> None:
        self.client = client
        self.name = name
        self.auth = auth
        self.parents = parents
        """The dynamic namespaces that are still to be asked whether the name is theirs."""
        self.socket: Socket | None = None
        """Made as soon as the namespace is found."""

    @property
    def alive(self) -> bool:
        """Whether an answer still matters."""
        return self.client.waiting.get(self.name) is self
