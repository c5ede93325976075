"""The list of what a client has to send or to let go: its requests and its WebSockets, each once until it is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.engineio.fetch import Fetch
    from sioproto.engineio.link import Link


class Carriers:
    """What ``take_dirty()`` returns, and ``wake``, which is called when there is something to take."""

    __slots__ = ("_listed", "_roused", "_wake")

    def __init__(self, wake: Callable[[bool], None] | None) -> None:
        self._wake = wake
        self._listed: list[Fetch | Link] = []
        self._roused = False

    def put(self, fetch: Fetch) -> None:
        """Has a request sent."""
        self._listed.append(fetch)
        self.rouse()

    def drop(self, fetch: Fetch) -> None:
        """Lets a request go. One that nobody has taken yet is never sent."""
        fetch.dropped = True
        if fetch in self._listed:
            self._listed.remove(fetch)
        else:
            self.put(fetch)

    def carry(self, link: Link) -> None:
        """Has a link looked at: its frames, whether it is read from, whether it closes."""
        if not link.dirty:
            link.dirty = True
            self._listed.append(link)
            self.rouse()

    def rouse(self, urgent: bool = False) -> None:
        """Wakes whoever takes, once until they do."""
        if urgent or not self._roused:
            self._roused = True
            if self._wake is not None:
                self._wake(urgent)

    def hush(self) -> None:
        """Somebody takes: they need not be woken by what that brings up."""
        self._roused = True

    def take(self) -> list[Fetch | Link]:
        """Returns the list and forgets it."""
        self._roused = False
        listed = self._listed
        if listed:
            self._listed = []
        return listed
