"""The life of a client's connection as a table. This table is the documentation; nothing else decides what may follow.

A state says which transport carries the connection (none yet, polling, polling while an upgrade is under way,
WebSocket) and how alive it is (opening, open, closing, closed). Every pair of a state and an input has one row: the
next state and the action, a method of ``EngineClient``. Where a row stays, its action may still lead on: to the next
transport while opening, to ``CLOSED`` from anywhere.
"""

from __future__ import annotations

from enum import Enum

from sioproto.engineio.states import build_table


class ClientState(Enum):
    """Where a client's connection stands."""

    OPENING_POLLING = "opening, the first poll is sent"
    OPENING_WEBSOCKET = "opening, a WebSocket is asked for"
    POLLING = "polling"
    DIALING = "polling, a WebSocket is asked for"
    PROBING = "polling, 2probe is sent on the WebSocket"
    PAUSING = "3probe came, nothing new is polled or posted, and what is in hand is awaited"
    WEBSOCKET = "websocket"
    CLOSING_POLLING = "closing, the last packets are posted"
    PARTING = "closing, a close packet is posted"
    CLOSING_PAUSING = "closing, the upgrade is awaited first"
    CLOSING_WEBSOCKET = "closing, the last packets wait for a blocked WebSocket"
    CLOSED = "closed"


class ClientInput(Enum):
    """What can happen to a client's connection."""

    OPEN = "the handshake of the server"
    ANSWER = "the answer to a poll"
    DECODED = "that answer was taken to its end"
    POSTED = "a POST was taken"
    GET_FAILED = "a poll was refused or got no answer"
    POST_FAILED = "a POST was refused or got no answer"
    UPGRADE = "both sides have WebSocket"
    DIALED = "the WebSocket is there"
    DIAL_FAILED = "it was refused or could not be opened"
    PROBED = "3probe on the candidate"
    STRAY = "anything else on the candidate"
    CANDIDATE_LOST = "the candidate closed"
    UPGRADE_OVERDUE = "the upgrade took too long"
    QUIET = "no poll and no POST is in hand any more"
    LINK_CLOSED = "the server closed the WebSocket, or its connection was lost"
    LINK_FAILED = "the WebSocket broke a rule of its protocol"
    GOODBYE = "a close packet"
    GARBAGE = "a packet that no server sends"
    PING_OVERDUE = "no ping in time"
    NETWORK_LOST = "the program knows that there is no network any more"
    CLOSE = "we close gracefully"
    DISCARD = "we close at once"
    DRAINED = "the last packets of a closing connection are handed over"
    CLOSE_OVERDUE = "closing took too long"


_S, _I = ClientState, ClientInput
_OPENING = (_S.OPENING_POLLING, _S.OPENING_WEBSOCKET)
_POLLS = (_S.POLLING, _S.DIALING, _S.PROBING)
_OPEN = (*_POLLS, _S.PAUSING, _S.WEBSOCKET)
_UPGRADING = (_S.DIALING, _S.PROBING, _S.PAUSING)
_PAUSING = (_S.PAUSING, _S.CLOSING_PAUSING)
_CLOSING = (_S.CLOSING_POLLING, _S.PARTING, _S.CLOSING_PAUSING, _S.CLOSING_WEBSOCKET)
_LIVE = (*_OPENING, *_OPEN, *_CLOSING)

_ROWS: tuple[tuple[tuple[ClientState, ...], ClientInput, ClientState | None, str], ...] = (
    # opening (Engine.IO protocol, "Handshake"): what fails gives way to the next transport, if that is wanted
    ((_S.OPENING_POLLING,), _I.OPEN, _S.POLLING, "open_session"),
    ((_S.OPENING_WEBSOCKET,), _I.OPEN, _S.WEBSOCKET, "open_session"),
    ((_S.OPENING_WEBSOCKET,), _I.DIALED, None, "take_link"),
    ((_S.OPENING_POLLING,), _I.GET_FAILED, None, "fail_opening"),
    ((_S.OPENING_WEBSOCKET,), _I.DIAL_FAILED, None, "fail_opening"),
    ((_S.OPENING_WEBSOCKET,), _I.LINK_CLOSED, None, "fail_opening"),
    ((_S.OPENING_WEBSOCKET,), _I.LINK_FAILED, None, "fail_opening"),
    (_OPENING, _I.GOODBYE, None, "fail_opening"),
    (_OPENING, _I.GARBAGE, None, "fail_opening"),
    # polling: one GET and one POST in hand (Engine.IO protocol, HTTP long-polling)
    ((_S.OPENING_POLLING, *_POLLS, _S.PAUSING), _I.ANSWER, None, "decode_answer"),
    ((_S.CLOSING_POLLING, _S.PARTING, _S.CLOSING_PAUSING), _I.ANSWER, None, "skip_answer"),
    (_POLLS, _I.DECODED, None, "poll_again"),
    (_POLLS, _I.POSTED, None, "post_more"),
    ((*_POLLS, _S.PAUSING), _I.GET_FAILED, _S.CLOSED, "fail"),
    ((*_POLLS, _S.PAUSING), _I.POST_FAILED, _S.CLOSED, "fail"),
    # upgrade (Engine.IO protocol, upgrade mechanism)
    ((_S.POLLING,), _I.UPGRADE, _S.DIALING, "dial_candidate"),
    ((_S.DIALING,), _I.DIALED, _S.PROBING, "send_probe"),
    ((_S.PROBING,), _I.PROBED, _S.PAUSING, "pause_polling"),
    (_PAUSING, _I.DECODED, None, "look_for_quiet"),
    (_PAUSING, _I.POSTED, None, "look_for_quiet"),
    ((_S.PAUSING,), _I.QUIET, _S.WEBSOCKET, "switch_transport"),
    ((_S.CLOSING_PAUSING,), _I.QUIET, _S.CLOSING_WEBSOCKET, "switch_transport"),
    ((_S.DIALING,), _I.DIAL_FAILED, _S.POLLING, "fail_upgrade"),
    ((_S.PROBING, _S.PAUSING), _I.STRAY, _S.POLLING, "fail_upgrade"),
    ((_S.PROBING, _S.PAUSING), _I.CANDIDATE_LOST, _S.POLLING, "fail_upgrade"),
    (_UPGRADING, _I.UPGRADE_OVERDUE, _S.POLLING, "fail_upgrade"),
    ((_S.CLOSING_PAUSING,), _I.STRAY, _S.CLOSING_POLLING, "fail_upgrade"),
    ((_S.CLOSING_PAUSING,), _I.CANDIDATE_LOST, _S.CLOSING_POLLING, "fail_upgrade"),
    ((_S.CLOSING_PAUSING,), _I.UPGRADE_OVERDUE, _S.CLOSING_POLLING, "fail_upgrade"),
    # WebSocket
    ((_S.WEBSOCKET,), _I.LINK_CLOSED, _S.CLOSED, "lose"),
    ((_S.WEBSOCKET,), _I.LINK_FAILED, _S.CLOSED, "fail"),
    # either
    (_OPEN, _I.GOODBYE, _S.CLOSED, "lose"),
    (_OPEN, _I.GARBAGE, _S.CLOSED, "reject"),
    (_OPEN, _I.PING_OVERDUE, _S.CLOSED, "time_out"),
    (_LIVE, _I.NETWORK_LOST, _S.CLOSED, "lose_network"),
    # closing
    (_OPENING, _I.CLOSE, _S.CLOSED, "force_close"),
    (_POLLS, _I.CLOSE, _S.CLOSING_POLLING, "start_closing"),
    ((_S.PAUSING,), _I.CLOSE, _S.CLOSING_PAUSING, "start_closing"),
    ((_S.WEBSOCKET,), _I.CLOSE, _S.CLOSING_WEBSOCKET, "start_closing"),
    ((_S.CLOSING_POLLING,), _I.POSTED, None, "post_rest"),
    ((_S.CLOSING_POLLING,), _I.DRAINED, _S.PARTING, "say_goodbye"),
    ((_S.PARTING,), _I.POSTED, _S.CLOSED, "force_close"),
    ((_S.CLOSING_WEBSOCKET,), _I.DRAINED, _S.CLOSED, "force_close"),
    ((_S.CLOSING_PAUSING,), _I.GET_FAILED, _S.CLOSED, "force_close"),
    ((_S.CLOSING_POLLING, _S.PARTING, _S.CLOSING_PAUSING), _I.POST_FAILED, _S.CLOSED, "force_close"),
    ((_S.CLOSING_WEBSOCKET,), _I.LINK_CLOSED, _S.CLOSED, "force_close"),
    ((_S.CLOSING_WEBSOCKET,), _I.LINK_FAILED, _S.CLOSED, "force_close"),
    (_CLOSING, _I.GOODBYE, _S.CLOSED, "force_close"),
    (_CLOSING, _I.CLOSE_OVERDUE, _S.CLOSED, "force_close"),
    (_LIVE, _I.DISCARD, _S.CLOSED, "force_close"),
)

CLIENT_TABLE: dict[tuple[ClientState, ClientInput], tuple[ClientState, str]] = build_table(
    ClientState, ClientInput, _ROWS
)
"""``(state, input) -> (next state, action)``, total over both enums."""
