"""Sequences with user code in them: each is written once, as a coroutine that any runtime can drive.

``def`` and ``async def`` hooks are both welcome; how they are called is the matter of ``Calling``.

The rule not to be broken: whoever asked gets an answer. A hook that is cancelled counts as a no, and the cancellation
goes on. Only when the coroutine itself is thrown away (``GeneratorExit``) nothing is said, as nobody runs anything any
more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sioproto.engineio.request import Exchange, Request, Response
from sioproto.errors import ConnectError, Forbidden, LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sioproto.app.calling import Calling
    from sioproto.handlers import Listener
    from sioproto.pending import Pending
    from sioproto.socketio.client_socket import AuthTicket
    from sioproto.socketio.connecting import ConnectTicket
    from sioproto.socketio.dynamic import DynamicNamespace
    from sioproto.socketio.server import SocketServer
    from sioproto.socketio.socket import Socket
    from sioproto.socketio.socket_client import SocketClient

NO_AUTH = "the auth could not be had"


async def connect(
    core: SocketServer,
    calls: Calling,
    report: Callable[[BaseException, str], None],
    ticket: ConnectTicket,
    socket: Socket,
    middlewares: Sequence[Listener],
    before: Pending[None] | None = None,
) -> None:
    """Runs the middlewares of a namespace and accepts or refuses a socket; ``before`` is waited for first.

    A middleware that is still waiting when the client goes has answered in vain, which does no harm.
    """
    if before is not None:
        await before
        if not ticket.alive:
            return
    try:
        for middleware in middlewares:
            await calls.value_of(middleware.call, socket)
            if not ticket.alive:
                return
    except ConnectError as refusal:
        try:
            core.refuse(ticket, refusal.message, refusal.data)
        except LocalProtocolError as error:  # what it says cannot be sent
            report(error, f"middleware of {socket.namespace.name}")
            core.refuse(ticket, "Internal server error")
    except Exception as error:  # a user's code: the client learns nothing of it
        report(error, f"middleware of {socket.namespace.name}")
        core.refuse(ticket, "Internal server error")
    except GeneratorExit:
        raise
    except BaseException:
        core.refuse(ticket, "Internal server error")
        raise
    else:
        core.accept(ticket)


async def allow_namespace(
    core: SocketServer,
    calls: Calling,
    report: Callable[[BaseException, str], None],
    ticket: ConnectTicket,
    parent: DynamicNamespace,
) -> None:
    """Asks a predicate whether a name belongs to its dynamic namespace."""
    allowed = False
    try:
        rule: Callable[..., Any] = parent.rule  # type: ignore[assignment]  # a pattern never asks
        allowed = bool(await calls.value_of(rule, ticket.name, ticket.auth))
    except Exception as error:  # a user's code: it counts as a no
        report(error, "predicate of a dynamic namespace")
    except GeneratorExit:
        raise
    except BaseException:
        core.answer_namespace(ticket, False)
        raise
    core.answer_namespace(ticket, allowed)


async def allow_request(
    core: SocketServer,
    calls: Calling,
    report: Callable[[BaseException, str], None],
    hook: Callable[[Request], Any],
    exchange: Exchange,
) -> None:
    """Asks the ``allow_request`` hook whether a request may open a session."""
    refusal: str | None = None
    try:
        if await calls.value_of(hook, exchange.request) is False:
            refusal = "Forbidden"
    except Forbidden as error:
        refusal = error.message
    except Exception as error:  # a user's code: the client learns nothing of it
        report(error, "allow_request")
        refusal = "Forbidden"
    except GeneratorExit:
        raise
    except BaseException:
        core.answer_request(exchange, "Forbidden")
        raise
    core.answer_request(exchange, refusal)


async def answer_foreign(
    core: SocketServer,
    calls: Calling,
    report: Callable[[BaseException, str], None],
    fallback: Listener | None,
    exchange: Exchange,
    body: bytes,
) -> None:
    """Answers a request that is not Socket.IO's: by the user's ``fallback``, else with 404."""
    response: Response | None = None
    if fallback is not None:
        try:
            response = await calls.value_of(fallback.call, *fallback.fit((exchange.request, body)))
            if response is not None and not isinstance(response, Response):
                raise TypeError(f"fallback returned {type(response).__name__} instead of a Response or None")
        except Exception as error:  # a user's code: the client learns nothing of it
            report(error, "fallback")
            response = failure()
        except GeneratorExit:
            raise
        except BaseException:
            core.engine.answer_foreign(exchange, failure())
            raise
    if response is None:
        response = Response(404, [("Content-Type", "text/plain; charset=utf-8")], b"Not Found")
    core.engine.answer_foreign(exchange, response)


def failure() -> Response:
    """Returns the answer of a ``fallback`` that failed: the client learns nothing of it."""
    return Response(500, [("Content-Type", "text/plain; charset=utf-8")], b"Internal Server Error")


async def ask_auth(
    core: SocketClient, calls: Calling, report: Callable[[BaseException, str], None], ticket: AuthTicket
) -> None:
    """Asks the application for the ``auth`` of one attempt to connect, and sends CONNECT with it.

    Raising ``ConnectError`` gives the attempt up with that error.
    """
    try:
        ask: Callable[[], Any] = ticket.socket.auth  # type: ignore[assignment]  # a dict never asks
        core.answer_auth(ticket, await calls.value_of(ask))
    except ConnectError as refusal:
        core.refuse_auth(ticket, refusal)
    except Exception as error:  # a user's code: its failure is reported and stops nobody
        report(error, f"auth of {ticket.socket.name}")
        core.refuse_auth(ticket, ConnectError(NO_AUTH))
    except GeneratorExit:
        raise
    except BaseException:
        core.refuse_auth(ticket, ConnectError(NO_AUTH))
        raise
