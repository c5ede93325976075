"""The Engine.IO server: sessions by id, requests judged, and the one list of carriers that have something to send.

Every ``receive_*`` takes what happened and never raises for what a peer did. After it, and after any command, three
things are to be pulled: ``events()``, ``take_dirty()`` and ``next_deadline()``.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar, overload

from sioproto.engineio import http
from sioproto.engineio.events import (
    EngineEvent,
    ForeignRequest,
    ObserverFailed,
    RequestRefused,
)
from sioproto.engineio.opening import Opening
from sioproto.engineio.request import Exchange, Request, Response
from sioproto.engineio.states import Input
from sioproto.errors import LocalProtocolError
from sioproto.guard import ANYWHERE
from sioproto.handlers import Observers
from sioproto.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sioproto.config import EngineConfig
    from sioproto.engineio.bundle import Bundle
    from sioproto.engineio.link import Link
    from sioproto.engineio.polling import Polling
    from sioproto.engineio.request import Headers
    from sioproto.engineio.session import Session
    from sioproto.environment import Environment
    from sioproto.guard import Guard

    Middleware = Callable[[Request, Headers], Response | None]

C = TypeVar("C", bound="Callable[..., Any]")

ENGINE_EVENTS = ("initial_headers", "headers", "connection_error")


class EngineServer:
    """All sessions of a server, without I/O (Engine.IO protocol, revision 4, server role).

    ``wake(urgent)`` is called, from within whatever call caused it, when output is there to be taken; a driver that
    takes after each call anyway needs none. ``asks_requests`` makes each handshake a question, ``RequestAsked``.
    ``generate_id(request)`` makes session ids instead of the environment; ``bundle`` is the JavaScript client to
    serve. Commands enter ``guard``.
    """

    def __init__(
        self,
        config: EngineConfig,
        environment: Environment,
        *,
        timers: Timers | None = None,
        wake: Callable[[bool], None] | None = None,
        guard: Guard = ANYWHERE,
        asks_requests: bool = False,
        generate_id: Callable[[Request], str] | None = None,
        bundle: Bundle | None = None,
    ) -> None:
        self.config = config
        self.environment = environment
        self.timers = Timers(environment.clock) if timers is None else timers
        self.sessions: dict[str, Session] = {}
        self.accepting = True
        """Whether new sessions are taken; otherwise they get HTTP 503."""
        self.unsent = 0
        """Messages that sessions which have ended left unsent, all together; see ``Session.unsent``."""
        self._bundle = bundle
        self._intercepts = bundle is not None
        self._middlewares: list[Middleware] = []
        self.guard = guard
        """What commands enter: it refuses a foreign thread, or lets in one at a time."""
        self._wake = wake
        self.news: list[EngineEvent] = []
        """What ``events()`` is going to return: for the floor above, which looks whether it is worth a call."""
        self._dirty: list[Session] = []
        self._carriers: list[Exchange | Link] = []
        self.observers = Observers(ENGINE_EVENTS, self.report, guard)
        self.ping_lane = self.timers.lane(config.ping_interval, "ping", _ping_due)
        self.pong_lane = self.timers.lane(config.ping_timeout, "pong", self._pong_overdue)
        self.upgrade_lane = self.timers.lane(config.upgrade_timeout, "upgrade", _upgrade_overdue)
        self.noop_lane = self.timers.lane(config.upgrade_noop_interval, "upgrade noop", _noop_due)
        self.close_lane = self.timers.lane(config.polling_close_timeout, "close", _close_overdue)
        self._opening = Opening(self, asks_requests, generate_id)
        self._decoding: list[Polling] = []
        self._roused = False

    @property
    def engine_config(self) -> EngineConfig:
        """The same as ``config``; every floor has it under this name."""
        return self.config

    @property
    def clients_count(self) -> int:
        """How many sessions there are."""
        return len(self.sessions)

    @overload
    def on(self, event: str, call: C) -> C: ...
    @overload
    def on(self, event: str, call: None = None) -> Callable[[C], C]: ...
    def on(self, event: str, call: Any = None) -> Any:
        """Observes ``initial_headers(headers, request)``, ``headers(headers, request)`` or
        ``connection_error(refused)``.

        ``headers`` is the list of a response that is about to be sent and may be changed: ``initial_headers`` comes
        once a session, ``headers`` for every response but refusals. ``refused`` is a ``RequestRefused``. An observer
        may neither wait nor call back into the core. Raises ``LocalProtocolError`` for any other name.
        """
        return self.observers.add(event, call)

    def use(self, middleware: Middleware) -> Middleware:
        """Runs ``middleware(request, headers)`` for each of Engine.IO's requests, upgrades included, before any check.

        It may add to ``headers``, which go out with the answer, or return a ``Response``, which is the answer. Raising
        refuses the request with HTTP 400 and code 3. It may not wait; what has to belongs into ``allow_request``.
        """
        with self.guard:
            if inspect.iscoroutinefunction(middleware):
                raise LocalProtocolError("an engine middleware may not wait: use a plain function")
            self._middlewares.append(middleware)
            self._intercepts = True
            return middleware

    # Inputs

    def receive_request(self, request: Request, owner: object = None) -> Exchange:
        """Takes the head of a request and returns its exchange, which is answered now or later.

        If ``wants_body`` (or ``foreign``) is set afterwards, ``receive_body`` is expected; a WebSocket is accepted
        when the answer has status 101.
        """
        exchange = Exchange(request, owner)
        if self._intercepts and request.target.startswith(self.config.prefix) and self._intercept(exchange):
            return exchange
        verdict = http.judge(request, self.config, self.sessions.get)
        if isinstance(verdict, http.Poll):
            exchange.session = verdict.session
            verdict.session.step(Input.GET, exchange)
        elif isinstance(verdict, http.Post):
            exchange.session = verdict.session
            verdict.session.step(Input.POST, exchange, verdict.binary)
        elif isinstance(verdict, http.Open):
            self._opening.receive(exchange)
        elif isinstance(verdict, http.Attach):
            exchange.session = verdict.session
            verdict.session.step(Input.ATTACH, self._opening.accept(exchange, verdict.session))
        elif isinstance(verdict, http.NotOurs):
            exchange.foreign = exchange.wants_body = True
        elif isinstance(verdict, http.Refuse):
            self.refuse(exchange, verdict)
        else:
            self._put(exchange, verdict.response)
        return exchange

    def receive_body(self, exchange: Exchange, body: bytes) -> None:
        """Takes the whole body of a request that wanted it."""
        exchange.wants_body = False
        if exchange.foreign:
            self.tell(ForeignRequest(exchange, body))
        elif exchange.session is not None and exchange.session.polling.post is exchange:
            exchange.session.step(Input.BODY, body)

    def receive_oversize(self, exchange: Exchange) -> None:
        """Says that a body is larger than ``max_payload``: the answer is 413, and the session stays."""
        exchange.wants_body = False
        session = exchange.session
        if session is not None and session.polling.post is exchange:
            session.step(Input.OVERSIZE)
        elif exchange.response is None:
            self.answer(exchange, Response(413))

    def receive_abort(self, exchange: Exchange) -> None:
        """Says that the connection of an exchange in hand went away. Its answer, if one comes, is for nobody."""
        session = exchange.session
        self._opening.forget(exchange)
        if session is not None and session.polling.poll is exchange:
            session.step(Input.GET_LOST)
        elif session is not None and session.polling.post is exchange:
            session.step(Input.POST_LOST)
        if exchange.response is None:
            exchange.response = Response(499)

    def receive_messages(self, link: Link, messages: Sequence[str | bytes]) -> None:
        """Takes whole messages of a WebSocket, in order. Those of a link that is already closed are ignored."""
        session: Session | None = link.session
        if session is None:
            return
        if session.link is link:
            session.receive_messages(messages)
            return
        for index, message in enumerate(messages):
            if session.link is link:  # one of them completed the upgrade
                session.receive_messages(messages[index:])
                return
            if session.probe is not None and session.probe.link is link:
                session.probe.receive(message)

    def receive_link_closed(self, link: Link, code: int | None = None, error: str | None = None) -> None:
        """Says that a WebSocket is over: closed by the peer, or failed with ``error``. Expected once for each link."""
        session: Session | None = link.session
        link.session = None
        if session is None:
            return
        if session.probe is not None and session.probe.link is link:
            session.step(Input.CANDIDATE_LOST)
        elif session.link is link:
            if error is None:
                session.step(Input.LINK_CLOSED)
            else:
                session.step(Input.LINK_FAILED, error)

    def receive_blocked(self, link: Link) -> None:
        """Says that the WebSocket's transport takes no more for now."""
        link.blocked = True

    def receive_unblocked(self, link: Link) -> None:
        """Says that it takes data again."""
        link.blocked = False
        session: Session | None = link.session
        if session is not None and session.link is link and (session.outbox or not session.open) and not session.dirty:
            session.dirty = True
            self.mark(session)

    # Answers

    def answer_request(self, exchange: Exchange, refusal: str | None = None) -> bool:
        """Answers ``RequestAsked``: opens the session, or refuses it with HTTP 403, code 4 and ``refusal`` as message.

        Returns False when the question is dead because the client went away or waited too long.
        """
        with self.guard:
            return self._opening.answer(exchange, refusal)

    def answer_foreign(self, exchange: Exchange, response: Response) -> bool:
        """Answers a request that is not Engine.IO's. Returns False when it has an answer or its client went away."""
        with self.guard:
            if not exchange.foreign:
                raise LocalProtocolError("this exchange belongs to Engine.IO and is answered by it")
            if exchange.response is not None:
                return False
            self._put(exchange, response)
            return True

    # Outputs

    def events(self) -> list[EngineEvent]:
        """Returns what happened since the last call, in order, and forgets it."""
        events = self.news
        if events:
            self.news = []
        return events

    def take_dirty(self) -> list[Exchange | Link]:
        """Returns the carriers with output, each once: answered exchanges, and links with frames or a changed state."""
        self._roused = True  # whoever takes need not be woken by what taking brings up
        if self._dirty:
            dirty, self._dirty = self._dirty, []
            for session in dirty:
                if session.dirty:
                    session.flush()
        carriers = self._carriers
        if carriers:
            self._carriers = []
        self._roused = False
        if self._dirty:  # somebody who waited for a drain sent more
            self.rouse()
        return carriers

    def next_deadline(self) -> float | None:
        """Returns when ``handle_timeout`` wants to be called, on the environment's clock; None for never."""
        return self.environment.clock() if self._decoding else self.timers.next_deadline()

    def handle_timeout(self) -> None:
        """Does what is due now. Calling it too early does nothing."""
        if self._decoding:
            decoding, self._decoding = self._decoding, []
            for polling in decoding:
                polling.decode_some()
        self.timers.fire(self.environment.clock())

    # Commands

    def close(self, discard: bool = True) -> None:
        """Takes no new sessions and closes all there are with ``"forced close"``."""
        with self.guard:
            self.accepting = False
            self._opening.close()
            for session in list(self.sessions.values()):
                session.close(discard)

    def rouse(self) -> None:
        """Wakes the driver, if that has not been done since output was taken."""
        if not self._roused:
            self._roused = True
            if self._wake is not None:
                self._wake(False)

    # For sessions

    def mark(self, session: Session) -> None:
        """Puts a session on the dirty list."""
        self._dirty.append(session)
        if not self._roused:
            self.rouse()

    def press(self, session: Session) -> None:
        """A session queued much in one turn: lets the driver drain at once, then judges whether its client is slow."""
        if self._wake is not None and session.writable:
            self._wake(True)
        if session.weight > self.config.max_send_buffer and session.dirty and not session.writable:
            session.flush()

    def carry(self, link: Link) -> None:
        """Puts a link on the list of carriers."""
        if not link.dirty:
            link.dirty = True
            self._carriers.append(link)
            if not self._roused:
                self.rouse()

    def answer(self, exchange: Exchange, response: Response) -> None:
        """Answers one of Engine.IO's own exchanges; the CORS headers and header observers have their say."""
        if exchange.response is not None:
            return
        request = exchange.request
        if self.config.cors is not None:
            response.headers += http.cors_headers(request, self.config)
        if response.status in (101, 200):
            self.observers.notify("headers", response.headers, request)
        self._put(exchange, response)

    def refuse(self, exchange: Exchange, refusal: http.Refuse) -> None:
        """Refuses a request, and tells of it."""
        # What the application said stands in the context, as in Node.js.
        event = RequestRefused(exchange.request, refusal.code, http.MESSAGES[refusal.code], refusal.context)
        self.observers.notify("connection_error", event)
        self.tell(event)
        self._put(exchange, refusal.response)

    def tell(self, event: EngineEvent) -> None:
        """Leaves an event for the floor above."""
        self.news.append(event)

    def report(self, error: Exception, where: str) -> None:
        """Leaves the failure of an observer for the floor above."""
        self.news.append(ObserverFailed(error, where))

    def forget(self, session: Session) -> bool:
        """Removes a session that ends. Returns False if it had ended before."""
        return self.sessions.pop(session.id, None) is not None

    def decode_later(self, polling: Polling) -> None:
        """Remembers a POST that is not decoded to its end."""
        self._decoding.append(polling)
        self.rouse()

    # Below this line: helpers

    def _intercept(self, exchange: Exchange) -> bool:
        """Lets the middlewares and the client bundle answer first; returns whether one of them did."""
        request = exchange.request
        for middleware in self._middlewares:
            try:
                response = middleware(request, exchange.headers)
                if response is not None and not isinstance(response, Response):
                    raise TypeError(f"it returned {type(response).__name__} instead of a Response or None")
            except Exception as error:  # a user's code: the client learns nothing of it
                self.report(error, "engine middleware")
                self.refuse(exchange, http.bad_request(request, self.config, "MIDDLEWARE_FAILURE"))
                return True
            if response is not None:
                self._put(exchange, response)
                return True
        response = None if self._bundle is None else self._bundle.answer(request, self.config)
        if response is not None:
            self._put(exchange, response)
        return response is not None

    def _put(self, exchange: Exchange, response: Response) -> None:
        response.headers += exchange.headers
        exchange.response = response
        exchange.wants_body = False
        self._carriers.append(exchange)
        self.rouse()

    def _pong_overdue(self, session: Session, deadline: float) -> None:
        if session.heartbeat.overdue(self.pong_lane, self.environment.clock() - deadline):
            session.step(Input.PONG_OVERDUE)


def _ping_due(session: Session, _: float) -> None:
    session.step(Input.PING_DUE)


def _upgrade_overdue(session: Session, _: float) -> None:
    session.step(Input.UPGRADE_OVERDUE)


def _noop_due(session: Session, _: float) -> None:
    session.step(Input.NOOP_DUE)


def _close_overdue(session: Session, _: float) -> None:
    session.step(Input.CLOSE_OVERDUE)
