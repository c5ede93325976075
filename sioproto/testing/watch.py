"""Watches over the invariants of a world: a little after each step, everything when it is quiet.

What a step costs must not grow with the number of those whom it does not concern. So a step looks at the sessions
that gave output in it; and everything is looked at, at the end of a ``settle``, when as much happened as makes it worth
it, which in a small world is always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sioproto import app
from sioproto.engineio.server import EngineServer
from sioproto.engineio.states import State
from sioproto.socketio.server import SocketServer
from sioproto.testing.failures import InvariantBroken
from sioproto.testing.invariants import (
    client_breaches,
    engine_breaches,
    session_breaches,
    socket_breaches,
    timer_breaches,
)
from sioproto.testing.server import Server
from sioproto.testing.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sioproto.engineio.client import EngineClient
    from sioproto.engineio.link import Link
    from sioproto.engineio.request import Exchange, Request
    from sioproto.socketio import SocketClient
    from sioproto.testing.cores import ServerCore
    from sioproto.testing.runtime import Loop, Party


FEW = 30
"""So many sessions are all looked at whenever it is quiet."""
WORTH = 10
"""More of them are, when each was looked at so many times on its own."""
KEPT = 200
"""So many halves of sessions may be kept before those that are over are looked for."""

WEBSOCKET = State.WEBSOCKET


class Watch:
    """The invariants of one world. What is found first stays in ``loop.fault`` and ends the step."""

    def __init__(self, loop: Loop, watching: bool) -> None:
        self.watching = watching
        self._loop = loop
        self._witness = Witness(lambda facts: self.breach(1, facts))
        self._servers: list[tuple[Party, EngineServer, SocketServer | None]] = []
        self._clients: list[SocketClient] = []
        self._looked = 0
        self._kept = KEPT

    def add_server(self, party: Party, core: ServerCore) -> None:
        """Watches a server, and its sockets where it has that floor."""
        if not self.watching:
            return
        sockets = core.socket_server if isinstance(core, Server) else core if isinstance(core, SocketServer) else None
        if isinstance(core, EngineServer):
            engine = core
        elif isinstance(core, SocketServer | app.Server):
            engine = core.engine
        else:
            return
        self._servers.append((party, engine, sockets))

        def opened(_: object, request: Request) -> None:
            # The session is the newest one, and has not sent anything yet.
            session = next(reversed(engine.sessions.values()))
            if session.request is request:
                self._witness.see_session(session, party.name)

        engine.on("initial_headers", opened)

    def add_client(self, core: SocketClient) -> None:
        """Watches the sockets of a client."""
        if self.watching:
            self._clients.append(core)

    def see_engine(self, engine: EngineClient | None, name: str) -> None:
        """Watches what the current connection of a client says and gets."""
        if self.watching and engine is not None:
            self._witness.see_engine(engine, name)

    def note(self, count: int) -> None:
        """So many sessions did something."""
        self._looked += count

    def look_at_server(self, carriers: Sequence[Exchange | Link], limit: int) -> None:
        """Looks at the sessions that gave output; ``limit`` is their server's ``max_send_buffer``."""
        if not self.watching:
            return
        self._looked += len(carriers)
        for carrier in carriers:
            session = carrier.session
            # The one hot road: an open session on a WebSocket that has handed over everything.
            if session is None or (session.state is WEBSOCKET and session.open and not session.outbox):
                continue
            for number, facts in session_breaches(session, limit):
                self.breach(number, facts)

    def look_at_all(self) -> None:
        """Looks at everything; nothing may be under way. Raises ``InvariantBroken``."""
        self._looked = 0
        for party, engine, sockets in self._servers:
            armed = {label: count for label, count, _ in party.timers.explain()}
            for number, facts in engine_breaches(engine, armed):
                raise InvariantBroken(number, facts)
            if sockets is not None:
                for number, facts in socket_breaches(sockets, armed):
                    raise InvariantBroken(number, facts)
        for client in self._clients:
            for number, facts in client_breaches(client):
                raise InvariantBroken(number, facts)
        for number, facts in timer_breaches(self._loop.timers):
            raise InvariantBroken(number, facts)

    def look_when_due(self) -> None:
        """Looks at everything if enough happened since the last time to be worth it."""
        there = sum(len(engine.sessions) for _, engine, _ in self._servers)
        if there <= FEW or self._looked >= WORTH * there:
            self.look_at_all()
        if self._witness.size > self._kept:
            self._witness.forget_ended()
            self._kept = KEPT + 2 * self._witness.size

    def excuse(self, sid: str) -> None:
        """Does not compare any more what the two sides of a session say: their network repeats requests."""
        if sid:
            self._witness.excuse(sid)

    def breach(self, number: int, facts: str) -> None:
        """Something is wrong."""
        if self.watching and self._loop.fault is None:
            self._loop.fault = InvariantBroken(number, facts)
