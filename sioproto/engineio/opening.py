"""From a request without a session id to an open session: the question, the id, the OPEN packet.

(Engine.IO protocol, "Handshake".) By the time a request comes here it has passed the judgement; what is left is what
only the application can know.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from sioproto.engineio import http
from sioproto.engineio.events import RequestAsked, SessionOpened
from sioproto.engineio.link import Link
from sioproto.engineio.packet import open_packet
from sioproto.engineio.request import Exchange, Request, Response
from sioproto.engineio.session import Session
from sioproto.errors import LocalProtocolError
from sioproto.frame import Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.engineio.server import EngineServer
    from sioproto.timers import Timer

ASK_TIMEOUT = 30.0
"""Seconds in which ``allow_request`` has to answer; then the request gets 503."""


class Opening:
    """The requests that may become sessions."""

    def __init__(self, server: EngineServer, asks: bool, generate_id: Callable[[Request], str] | None) -> None:
        self._server = server
        self._asks = asks
        if inspect.iscoroutinefunction(generate_id):
            raise LocalProtocolError("generate_id may not wait: use a plain function")
        self._generate_id = generate_id
        self._asked: dict[Exchange, Timer] = {}
        self._lane = server.timers.lane(ASK_TIMEOUT, "allow_request", self._overdue)

    def receive(self, exchange: Exchange) -> None:
        """Takes a request that may open a session: asks the application if it wants to be asked."""
        server = self._server
        if not server.accepting:
            self._turn_away(exchange)
        elif self._asks:
            self._asked[exchange] = self._lane.arm(exchange)
            server.tell(RequestAsked(exchange, exchange.request))
        else:
            self._open(exchange)

    def answer(self, exchange: Exchange, refusal: str | None) -> bool:
        """Takes the application's answer; False if nobody waits for it any more."""
        if not self.forget(exchange):
            return False
        if refusal is not None:
            self._server.refuse(exchange, http.forbidden(exchange.request, self._server.config, refusal))
        elif self._server.accepting:
            self._open(exchange)
        else:  # it was when the question came
            self._turn_away(exchange)
        return True

    def forget(self, exchange: Exchange) -> bool:
        """Drops a question; False if it was not open."""
        timer = self._asked.pop(exchange, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    def close(self) -> None:
        """Turns away everybody who waits for an answer."""
        for exchange in list(self._asked):
            self._overdue(exchange, 0.0)

    def accept(self, exchange: Exchange, session: Session) -> Link:
        """Accepts a WebSocket for a session."""
        link = exchange.link = Link(session, exchange.owner)
        self._server.answer(exchange, Response(101))
        return link

    def _open(self, exchange: Exchange) -> None:
        server, request = self._server, exchange.request
        config = server.config
        sid = self._new_id(exchange)
        if sid is None:
            return
        session = exchange.session = Session(server, sid, request)
        server.sessions[sid] = session
        session.heartbeat.start(server.ping_lane)
        server.tell(SessionOpened(session))
        cookie = None if request.upgrade else http.session_cookie(config, sid)
        if cookie is not None:
            exchange.headers.append(("Set-Cookie", cookie))
        server.observers.notify("initial_headers", exchange.headers, request)
        if request.upgrade:
            session.link = self.accept(exchange, session)
        else:
            session.polling.poll = exchange
        upgradable = not request.upgrade and config.allow_upgrades and "websocket" in config.transports
        session.write((Frame(open_packet(sid, ["websocket"] if upgradable else [], config)),))
        if config.initial_packet is not None:
            session.send(config.initial_packet)

    def _new_id(self, exchange: Exchange) -> str | None:
        """Returns the id of a new session; None, and the request is refused, if the hook does not make a good one."""
        server, request = self._server, exchange.request
        if self._generate_id is None:
            return server.environment.ids()
        try:
            sid: object = self._generate_id(request)
            if not isinstance(sid, str) or not sid or sid in server.sessions:
                raise LocalProtocolError("generate_id must return a str that no other session has")
        except Exception as error:  # a user's code: the client learns nothing of it
            server.report(error, "generate_id")
            server.refuse(exchange, http.bad_request(request, server.config, "ID_GENERATION_ERROR"))
            return None
        return sid

    def _overdue(self, exchange: Exchange, _: float) -> None:
        if self.forget(exchange):
            self._turn_away(exchange)

    def _turn_away(self, exchange: Exchange) -> None:
        self._server.answer(exchange, Response(503, [("Retry-After", "5")]))
