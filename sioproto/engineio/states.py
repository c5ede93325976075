"""The life of one session as a table. This table is the documentation; nothing else decides what may follow what.

A state is a point on two axes: which transport carries the session (polling, polling while an upgrade is being probed,
WebSocket) and how alive it is (open, closing, closed). Every pair of a state and an input has one row: the next state
and the action, a method of ``Session``. The action does the work and may end the session, which always leads to
``CLOSED``.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

S = TypeVar("S", bound=Enum)
G = TypeVar("G", bound=Enum)


class State(Enum):
    """Where a session stands."""

    POLLING = "polling"
    PROBING = "polling, a WebSocket is there and has not said 2probe"
    PROBED = "polling, the WebSocket was answered 3probe"
    WEBSOCKET = "websocket"
    POLLING_CLOSING = "closing, the last packets wait for a poll"
    PROBED_CLOSING = "closing, the last packets wait for a poll or for the WebSocket that was answered 3probe"
    WEBSOCKET_CLOSING = "closing, the last packets wait for a blocked WebSocket"
    CLOSED = "closed"


class Input(Enum):
    """What can happen to a session."""

    GET = "a poll"
    POST = "the head of a POST"
    BODY = "the body of that POST"
    OVERSIZE = "that body is above max_payload"
    GET_LOST = "the held poll's connection went away"
    POST_LOST = "the POST's connection went away before its body was whole"
    ATTACH = "a WebSocket for this session"
    PROBE = "2probe on the candidate"
    UPGRADE = "5 on the candidate"
    STRAY = "anything else on the candidate"
    CANDIDATE_LOST = "the candidate closed"
    UPGRADE_OVERDUE = "the upgrade took too long"
    NOOP_DUE = "the period on which a held poll is released while an upgrade is probed"
    LINK_CLOSED = "the peer closed the WebSocket, or its connection was lost"
    LINK_FAILED = "the WebSocket broke a rule of its protocol"
    PING_DUE = "time for a ping"
    PONG_OVERDUE = "no pong in time"
    CLOSE = "we close gracefully"
    DISCARD = "we close at once"
    DRAINED = "the last packets of a closing session are handed over"
    CLOSE_OVERDUE = "nobody took the last packets of a closing session"


_POLLS = (State.POLLING, State.PROBING, State.PROBED)
_OPEN = (*_POLLS, State.WEBSOCKET)
_PROBES = (State.PROBING, State.PROBED)
_POLLS_CLOSING = (State.POLLING_CLOSING, State.PROBED_CLOSING)
_CLOSING = (*_POLLS_CLOSING, State.WEBSOCKET_CLOSING)

_ROWS: tuple[tuple[tuple[State, ...], Input, State | None, str], ...] = (
    # polling: one GET and one POST in hand (Engine.IO protocol, HTTP long-polling)
    (_POLLS, Input.GET, None, "hold_poll"),
    (_POLLS_CLOSING, Input.GET, None, "hold_poll"),
    (_POLLS, Input.POST, None, "hold_post"),
    (_POLLS_CLOSING, Input.POST, None, "hold_post"),
    ((State.WEBSOCKET, State.WEBSOCKET_CLOSING, State.CLOSED), Input.GET, None, "refuse_request"),
    ((State.WEBSOCKET, State.WEBSOCKET_CLOSING, State.CLOSED), Input.POST, None, "refuse_request"),
    (_OPEN, Input.BODY, None, "decode_body"),
    (_CLOSING, Input.BODY, None, "skip_body"),
    (tuple(State), Input.OVERSIZE, None, "refuse_body"),
    (_POLLS, Input.GET_LOST, State.CLOSED, "lose_poll"),
    (_POLLS, Input.POST_LOST, State.CLOSED, "lose_post"),
    ((State.WEBSOCKET, *_CLOSING), Input.POST_LOST, None, "forget_post"),
    (_POLLS_CLOSING, Input.GET_LOST, State.CLOSED, "force_close"),
    # upgrade (Engine.IO protocol, upgrade mechanism)
    ((State.POLLING,), Input.ATTACH, State.PROBING, "start_probe"),
    ((*_PROBES, State.WEBSOCKET, *_CLOSING, State.CLOSED), Input.ATTACH, None, "close_stranger"),
    (_PROBES, Input.PROBE, State.PROBED, "answer_probe"),
    (_PROBES, Input.UPGRADE, State.WEBSOCKET, "switch_transport"),
    (_PROBES, Input.STRAY, State.POLLING, "drop_candidate"),
    (_PROBES, Input.CANDIDATE_LOST, State.POLLING, "drop_candidate"),
    (_PROBES, Input.UPGRADE_OVERDUE, State.POLLING, "drop_candidate"),
    ((State.PROBED, State.PROBED_CLOSING), Input.NOOP_DUE, None, "release_poll"),
    ((State.PROBED_CLOSING,), Input.UPGRADE, State.WEBSOCKET_CLOSING, "switch_transport"),
    ((State.PROBED_CLOSING,), Input.STRAY, State.POLLING_CLOSING, "drop_candidate"),
    ((State.PROBED_CLOSING,), Input.CANDIDATE_LOST, State.POLLING_CLOSING, "drop_candidate"),
    ((State.PROBED_CLOSING,), Input.UPGRADE_OVERDUE, State.POLLING_CLOSING, "drop_candidate"),
    # WebSocket
    ((State.WEBSOCKET,), Input.LINK_CLOSED, State.CLOSED, "lose_link"),
    ((State.WEBSOCKET,), Input.LINK_FAILED, State.CLOSED, "fail_link"),
    ((State.WEBSOCKET_CLOSING,), Input.LINK_CLOSED, State.CLOSED, "force_close"),
    ((State.WEBSOCKET_CLOSING,), Input.LINK_FAILED, State.CLOSED, "force_close"),
    # heartbeat (Engine.IO protocol, heartbeat)
    (_OPEN, Input.PING_DUE, None, "ping"),
    (_OPEN, Input.PONG_OVERDUE, State.CLOSED, "time_out"),
    # closing
    ((State.POLLING, State.PROBING), Input.CLOSE, State.POLLING_CLOSING, "start_closing"),
    # A peer that was told 3probe may be done with polling, and then it takes the last packets by the WebSocket alone.
    ((State.PROBED,), Input.CLOSE, State.PROBED_CLOSING, "start_closing"),
    ((State.WEBSOCKET,), Input.CLOSE, State.WEBSOCKET_CLOSING, "start_closing"),
    ((*_OPEN, *_CLOSING), Input.DISCARD, State.CLOSED, "force_close"),
    (_CLOSING, Input.DRAINED, State.CLOSED, "force_close"),
    (_CLOSING, Input.CLOSE_OVERDUE, State.CLOSED, "force_close"),
)


def build_table(
    states: type[S], inputs: type[G], rows: Iterable[tuple[tuple[S, ...], G, S | None, str]]
) -> dict[tuple[S, G], tuple[S, str]]:
    """Returns a total table. A row names the states it holds for, and the next state, or None where that stays."""
    # What has no row happens too late to matter (a timer of a state that is over, a second close) and changes nothing.
    table = {(state, given): (state, "ignore") for state in states for given in inputs}
    for holds, given, following, action in rows:
        for state in holds:
            table[state, given] = (following or state, action)
    return table


TABLE: dict[tuple[State, Input], tuple[State, str]] = build_table(State, Input, _ROWS)
"""``(state, input) -> (next state, action)``, total over both enums."""
