"""Handlers of the main namespace, registered on a server or a client without naming it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.socketio.listening import Listening

H = TypeVar("H", bound="Callable[..., Any]")


class MainNamespace:
    """``on``, ``once``, ``off`` and the catch-alls, for whatever has a main namespace.

    On a server handlers get the socket as their first argument; a client has just one.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def _main(self) -> Listening:
        """Where handlers of the main namespace belong."""

    @overload
    def on(self, event: str, handler: H, *, wire: bool = False, concurrent: bool = False) -> H: ...
    @overload
    def on(
        self, event: str, handler: None = None, *, wire: bool = False, concurrent: bool = False
    ) -> Callable[[H], H]: ...
    def on(self, event: str, handler: Any = None, *, wire: bool = False, concurrent: bool = False) -> Any:
        """Registers a handler in the main namespace. See ``Namespace.on``."""
        return self._main.on(event, handler, wire=wire, concurrent=concurrent)

    @overload
    def once(self, event: str, handler: H, *, wire: bool = False) -> H: ...
    @overload
    def once(self, event: str, handler: None = None, *, wire: bool = False) -> Callable[[H], H]: ...
    def once(self, event: str, handler: Any = None, *, wire: bool = False) -> Any:
        """Like ``on``, for the next time only."""
        return self._main.once(event, handler, wire=wire)

    def off(self, event: str, handler: Callable[..., Any] | None = None, *, wire: bool = False) -> None:
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
