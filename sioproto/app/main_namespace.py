"""Handlers of the main namespace, registered on a server or a client without naming it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

from sioproto.socketio.registering import Registering

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.event import AnyEvent
    from sioproto.socketio.listening import Listening

H = TypeVar("H", bound="Callable[..., Any]")


class MainNamespace(Registering):
    """``on``, ``once``, ``off`` and the catch-alls, for whatever has a main namespace.

    On a server handlers get the socket as their first argument; a client has just one.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def _main(self) -> Listening:
        """Where handlers of the main namespace belong."""

    def off(self, event: str | AnyEvent, handler: Callable[..., Any] | None = None, *, wire: bool = False) -> None:
        """Removes one handler of an event in the main namespace, or all of them."""
        self._main.off(event, handler, wire=wire)

    def on_any(self, handler: H) -> H:
        """Registers a catch-all in the main namespace. See ``Namespace.on_any``."""
        return self._main.on_any(handler)

    def prepend_any(self, handler: H) -> H:
        """Like ``on_any``, before all others."""
        return self._main.prepend_any(handler)

    def off_any(self, handler: Callable[..., Any] | None = None) -> None:
        """Removes one catch-all of the main namespace, or all of them."""
        self._main.off_any(handler)

    def any_listeners(self) -> tuple[Callable[..., Any], ...]:
        """Returns the catch-alls of the main namespace."""
        return self._main.any_listeners()

    def _register(self, event: str | AnyEvent, handler: Any, *, wire: bool, concurrent: bool, once: bool) -> Any:
        return self._main._register(event, handler, wire=wire, concurrent=concurrent, once=once)
