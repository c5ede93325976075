"""From the CONNECT packet to the end of a socket: who gets in, what may come when, and why sockets leave."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sioproto import DynamicNamespace, LocalProtocolError, Namespace, RemoteProtocolError, Request, Socket
from sioproto.engineio import RequestRefused, State
from sioproto.socketio import (
    ConnectAsked,
    DecodeFailed,
    DisconnectingAsked,
    EventReceived,
    NamespaceAsked,
    Selection,
    SocketConnected,
    SocketDisconnected,
    SocketState,
)
from tests.virtual import Client, SocketDriver, drive_sockets, living

BOTH = pytest.mark.parametrize("transport", ["polling", "websocket"])


def received(driver: SocketDriver) -> list[list[Any]]:
    """Returns the events that clients emitted."""
    return [event.args for event in driver.told(EventReceived)]


def session_reasons(client: Client) -> list[str]:
    """Returns a list that gets the reason of the session's end."""
    seen: list[str] = []
    client.session.on("close", lambda reason, description: seen.append(reason))
    return seen


# -- connecting


@BOTH
def test_a_client_connects(transport: str) -> None:
    driver = drive_sockets()
    client = driver.client(transport)
    client.send("40")
    [answer] = client.take()
    [connected] = driver.told(SocketConnected)
    socket = connected.socket
    assert answer == f'40{{"sid":"{socket.id}"}}'
    assert socket.id != client.sid
    assert socket.connected
    assert socket.state is SocketState.CONNECTED
    assert socket.namespace is driver.core.sockets
    assert driver.core.sockets.sockets == {socket.id: socket}
    assert socket.rooms == {socket.id}
    assert socket.conn is client.session
    assert socket.request is client.session.request
    assert [type(event) for event in driver.log] == [ConnectAsked, SocketConnected]
    assert socket.client.sockets == {"/": socket}


def test_a_handshake() -> None:
    driver = drive_sockets()
    client = driver.client(
        query="&token=a+b&t=1", headers=[("origin", "http://here"), ("host", "here"), ("x-a", "1"), ("x-a", "2")]
    )
    socket = driver.socket(client.connect("/", {"user": "ann"}))
    handshake = socket.handshake
    assert handshake.auth == {"user": "ann"}
    assert handshake.query == {"EIO": "4", "transport": "polling", "token": "a b", "t": "1"}
    assert handshake.headers == {"origin": "http://here", "host": "here", "x-a": "1, 2"}
    assert handshake.url == "/socket.io/?EIO=4&transport=polling&token=a+b&t=1"
    assert handshake.xdomain
    assert not handshake.secure
    assert handshake.issued == int((1_700_000_000.0 + driver.clock.now) * 1000)
    assert handshake.time == "Tue Nov 14 2023 22:30:00 GMT+0000 (Coordinated Universal Time)"
    driver.advance(5.0)
    client.upgrade()
    driver.core.of("/other")
    other = driver.socket(client.connect("/other"))
    assert other.handshake.auth == {}
    assert other.handshake.issued == handshake.issued + 5000 + 100
    assert other.handshake.url == handshake.url


def test_the_address_behind_a_proxy() -> None:
    driver = drive_sockets(trusted_proxies=("10.0.0.0/8",))
    forwarded = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https")]
    _, socket = driver.join(headers=forwarded, address="10.0.0.1")
    assert (socket.handshake.address, socket.handshake.secure) == ("203.0.113.9", True)
    _, direct = driver.join(headers=forwarded, address="192.0.2.1")
    assert (direct.handshake.address, direct.handshake.secure) == ("192.0.2.1", False)


def test_namespaces_are_joined_one_by_one() -> None:
    driver = drive_sockets()
    driver.core.of("admin")
    client = driver.client("websocket")
    admin = client.connect("/admin")
    assert driver.core.sockets.sockets == {}
    main = client.connect()
    assert main != admin
    assert list(driver.core.of("/admin").sockets) == [admin]
    client.emit("hi", namespace="/admin")
    client.emit("ho")
    assert [event.socket.id for event in driver.told(EventReceived)] == [admin, main]


def test_a_namespace_nobody_knows() -> None:
    driver = drive_sockets()
    client = driver.client("websocket")
    client.send("40/none,")
    assert client.take() == ['44/none,{"message":"Invalid namespace"}']
    assert client.session.open
    assert driver.told(ConnectAsked) == []
    client.connect()


@pytest.mark.parametrize("namespace", ["/", "/admin"])
@pytest.mark.parametrize("data", [None, {"code": 7}, ["a"], 0, ""])
def test_a_refused_client(data: Any, namespace: str) -> None:
    driver = drive_sockets()
    driver.core.of(namespace)
    driver.accepts = False
    client = driver.client("websocket")
    address = "" if namespace == "/" else namespace + ","
    client.send("40" + address)
    [asked] = driver.told(ConnectAsked)
    asked.socket.join("room")
    asked.socket.emit("never")
    assert driver.core.refuse(asked.ticket, "no entry", data)
    driver.settle()
    [answer] = client.take()
    assert isinstance(answer, str)
    error = {"message": "no entry"} if data is None else {"message": "no entry", "data": data}
    assert answer.startswith("44" + address)
    assert json.loads(answer.removeprefix("44" + address)) == error
    # Nothing is left of the socket, its session stays, and the ticket is dead.
    assert asked.socket.rooms == frozenset()
    assert asked.socket.state is SocketState.DISCONNECTED
    assert driver.core.of(namespace).adapter.select(Selection(("room",))) == []
    assert not driver.core.accept(asked.ticket)
    assert not driver.core.refuse(asked.ticket, "again")
    assert driver.told(DisconnectingAsked) == []
    driver.accepts = True
    client.connect(namespace)


def test_a_second_connect_is_ignored() -> None:
    driver = drive_sockets()
    client, socket = driver.join()
    client.send("40", "40{}")
    assert client.take() == []
    assert socket.connected
    assert len(driver.told(ConnectAsked)) == 1
    driver.accepts = False
    driver.core.of("/slow")
    client.send("40/slow,", "40/slow,")
    assert len(driver.told(ConnectAsked)) == 2
    driver.core.accept(driver.told(ConnectAsked)[1].ticket)
    driver.settle()
    assert len(client.take()) == 1
    assert client.session.open


def test_a_client_that_goes_while_it_is_asked_about() -> None:
    driver = drive_sockets()
    driver.accepts = False
    client = driver.client("websocket")
    client.send("40")
    [asked] = driver.told(ConnectAsked)
    asked.socket.join("room")
    assert asked.ticket.alive
    client.lose()
    assert not asked.ticket.alive
    assert not driver.core.accept(asked.ticket)
    assert not driver.core.refuse(asked.ticket, "late")
    assert asked.socket.rooms == frozenset()
    assert driver.told(SocketConnected) == []
    assert driver.told(SocketDisconnected) == []


def test_a_client_that_changes_its_mind_while_it_is_asked_about() -> None:
    driver = drive_sockets()
    driver.accepts = False
    client = driver.client("websocket")
    client.send("40", "41")
    [asked] = driver.told(ConnectAsked)
    assert not asked.ticket.alive
    assert not driver.core.accept(asked.ticket)
    driver.settle()
    assert client.take() == []
    assert client.session.open
    assert driver.told(SocketConnected) == []
    driver.accepts = True
    client.connect()


# -- limits of connecting


def test_too_many_connects_wait() -> None:
    driver = drive_sockets(max_pending_connects=8)
    driver.accepts = False
    client = driver.client("websocket")
    reasons = session_reasons(client)
    for number in range(9):
        driver.core.of(f"/{number}")
    client.send(*(f"40/{number}," for number in range(8)))
    assert client.session.open
    client.send("40/8,")
    assert client.take() == ['44/8,{"message":"Too many connection attempts"}']
    assert reasons == ["forced close"]
    assert client.over
    assert not any(asked.ticket.alive for asked in driver.told(ConnectAsked))


def test_too_many_namespaces() -> None:
    driver = drive_sockets(max_namespaces=32)
    client = driver.client("websocket")
    for number in range(33):
        driver.core.of(f"/{number}")
    for number in range(32):
        client.connect(f"/{number}")
    client.send("40/32,")
    assert client.take() == ['44/32,{"message":"Too many connection attempts"}']
    assert driver.reasons() == ["forced close"] * 32


@pytest.mark.parametrize("refused", [True, False])
def test_too_many_connects_a_minute(refused: bool) -> None:
    driver = drive_sockets(connect_rate=100)
    client = driver.client("websocket")

    def attempt() -> None:
        if refused:
            client.send("40/none,")
        else:
            client.connect()
            client.send("41")

    client.connect()
    client.send("41")
    for _ in range(99):
        attempt()
    driver.advance(60.1)
    for _ in range(100):
        attempt()
    assert client.session.open
    client.take()
    client.send("40")
    assert client.take() == ['44{"message":"Too many connection attempts"}']
    assert client.over


@BOTH
def test_a_session_that_never_connects(transport: str) -> None:
    driver = drive_sockets()
    client = driver.client(transport)
    reasons = session_reasons(client)
    driver.advance(44.9)
    assert client.session.open
    driver.advance(0.2)
    assert reasons == ["forced close"]
    assert client.over
    assert driver.engine.sessions == {}


def test_a_refused_client_runs_out_of_time_as_well() -> None:
    driver = drive_sockets()
    client = driver.client("websocket")
    driver.advance(40.0)
    client.send("40/none,")
    driver.advance(5.1)
    assert client.over


def test_the_connect_timeout_is_over_with_the_first_namespace() -> None:
    driver = drive_sockets()
    client = driver.client("websocket")
    driver.advance(44.0)
    client.connect()
    client.send("41")
    driver.advance(200.0)
    assert client.session.open
    client.connect()


@BOTH
def test_too_many_sessions_that_never_connected(transport: str) -> None:
    """The one that has done nothing for the longest gives way, so that nobody can lock others out."""
    driver = drive_sockets(max_unconnected=3)
    crowd = [driver.client(transport) for _ in range(3)]
    reasons = [session_reasons(client) for client in crowd]
    late = driver.client(transport)
    assert reasons == [["forced close"], [], []]
    assert crowd[0].over
    later = driver.client(transport)
    assert reasons == [["forced close"], ["forced close"], []]
    # Whoever joins is not one of them any more.
    crowd[2].connect()
    late.connect()
    clients = [driver.client(transport) for _ in range(5)]
    assert later.over
    assert [client.over for client in clients] == [True, True, False, False, False]
    assert len(driver.engine.sessions) == 5
    clients[2].send("1") if transport == "polling" else clients[2].lose()
    assert driver.client(transport).session.open
    assert [client.over for client in clients[3:]] == [False, False]


def test_a_crowd_of_silent_sessions_is_bounded() -> None:
    driver = drive_sockets(max_unconnected=10)
    for _ in range(100):
        driver.client("websocket")
        driver.client(polls=False)
    assert len(driver.engine.sessions) == 10
    driver.advance(45.1)
    assert driver.engine.sessions == {}
    assert living(driver.core.timers) == {}


def test_sessions_that_wait_for_an_answer_give_way_to_nobody() -> None:
    driver = drive_sockets(max_unconnected=2)
    driver.accepts = False
    first, second = driver.client("websocket"), driver.client("websocket")
    first.send("40")
    second.send("40", "40/none,")
    assert driver.client().opening.status == 503
    assert driver.client("websocket").opening.status == 503
    # Refused, it has to make room for others, but it may ask again before they come.
    (ticket, other) = [event.ticket for event in driver.told(ConnectAsked)]
    driver.core.refuse(ticket, "no")
    driver.settle()
    first.send("40")
    assert driver.client().opening.status == 503
    driver.core.refuse(other, "no")
    driver.settle()
    third = driver.client()
    assert third.session.open
    assert second.over
    driver.core.accept(driver.told(ConnectAsked)[-1].ticket)
    driver.settle()
    assert driver.client().session.open
    assert third.session.open
    driver.core.stop_accepting()
    third.send("1")
    assert driver.client().opening.status == 503


def test_whoever_was_in_a_namespace_once_counts_no_more() -> None:
    driver = drive_sockets(max_unconnected=1)
    client = driver.client()
    client.connect()
    client.send("41")
    assert driver.client().session.open
    client.send("40/none,")
    other = driver.client()
    assert other.session.open
    assert client.session.open


def test_an_overdue_session_does_not_linger() -> None:
    driver = drive_sockets(ping_interval=100.0)
    client = driver.client(polls=False)
    reasons = session_reasons(client)
    driver.advance(45.1)
    assert reasons == ["forced close"]
    assert driver.engine.sessions == {}
    assert living(driver.core.timers) == {}


# -- what may come when


FATAL_BEFORE_CONNECT: list[list[str | bytes]] = [
    ["40null"],
    ["40[]"],
    ['40"x"'],
    ["401"],
    ["40/admin,null"],
    ['42["early"]'],
    ["43[]"],
    ["430[]"],
    ["41"],
    ["41/admin,"],
    ['44{"message":"no"}'],
    [b"\x00"],
    ['451-["x",{"_placeholder":true,"num":0}]', b"\x00"],
    ["4"],
    ["47"],
    ["42"],
    ['42/admin,["early"]'],
    ["40/" + "x" * 300 + ","],
]


@BOTH
@pytest.mark.parametrize("messages", FATAL_BEFORE_CONNECT, ids=repr)
def test_what_may_not_come_before_connect(messages: list[str | bytes], transport: str) -> None:
    driver = drive_sockets()
    driver.core.of("/admin")
    client = driver.client(transport)
    reasons = session_reasons(client)
    client.send(*messages, "40")
    assert reasons == ["forced close"]
    assert client.over
    assert driver.told(ConnectAsked) == []
    assert received(driver) == []


FATAL_AFTER_CONNECT: list[list[str | bytes]] = [
    ["40/other,null"],
    ["42"],
    ['42["disconnect"]'],
    ["42{}"],
    ["43[]"],
    ['44{"message":"no"}'],
    [b"\x00"],
    ['451-["x",{"_placeholder":true,"num":0}]', '42["between"]'],
    ['451-["x",{"_placeholder":true,"num":1}]', b"\x00"],
    ["49"],
    ['42["x",NaN]'],
]


@BOTH
@pytest.mark.parametrize("messages", FATAL_AFTER_CONNECT, ids=repr)
def test_an_invalid_packet_ends_the_session(messages: list[str | bytes], transport: str) -> None:
    driver = drive_sockets()
    driver.core.of("/admin")
    client, socket = driver.join(transport)
    admin = driver.socket(client.connect("/admin"))
    reasons = session_reasons(client)
    client.send('42["before"]', *messages, '42["behind"]', "40/admin,")
    assert received(driver) == [["before"]]
    failed = driver.told(DecodeFailed)
    assert [event.socket for event in failed] == [socket, admin]
    assert all(isinstance(event.error, RemoteProtocolError) for event in failed)
    assert reasons == ["forced close"]
    assert driver.reasons() == ["forced close"] * 2
    kinds = [type(event) for event in driver.log]
    assert kinds.index(DecodeFailed) < kinds.index(DisconnectingAsked)


def test_the_text_of_an_error_does_not_repeat_what_came() -> None:
    driver = drive_sockets()
    client, _ = driver.join()
    client.send('42["secret'[:10])
    [failed] = driver.told(DecodeFailed)
    assert "secret" not in str(failed.error)


def test_an_invalid_packet_while_no_poll_is_held() -> None:
    driver = drive_sockets()
    client, socket = driver.join("polling")
    client.polls = False
    socket.emit("release")
    driver.settle()
    client.send("49", '42["behind"]')
    assert client.session.state is State.POLLING_CLOSING
    client.send('42["late"]')
    assert received(driver) == []
    assert client.poll().packets == ["1"]
    assert driver.reasons() == ["forced close"]


@pytest.mark.parametrize("packet", ['42["late"]', "430[]", "41"])
def test_a_late_packet_is_ignored(packet: str) -> None:
    driver = drive_sockets()
    driver.core.of("/admin")
    client, socket = driver.join()
    driver.socket(client.connect("/admin"))
    socket.disconnect()
    driver.settle()
    client.send(packet)
    client.emit("still", namespace="/admin")
    assert received(driver) == [["still"]]
    assert client.session.open
    assert driver.reasons() == ["server namespace disconnect"]


@pytest.mark.parametrize("packet", ['42/never,["x"]', "43/never,1[]", "41/never,"])
def test_a_packet_for_a_namespace_never_joined_is_ignored(packet: str) -> None:
    driver = drive_sockets()
    client, socket = driver.join()
    client.send(packet)
    assert client.session.open
    assert socket.connected
    assert received(driver) == []


EARLY: list[str | bytes] = [
    "40",
    '421["early"]',
    '451-["binary",{"_placeholder":true,"num":0}]',
    b"\x01",
    '42/never,["x"]',
    '42["last"]',
]


@BOTH
@pytest.mark.parametrize("cut", range(len(EARLY) + 1))
@pytest.mark.parametrize("accepts", [True, False])
def test_what_comes_behind_connect_arrives_however_the_stream_is_cut(transport: str, cut: int, accepts: bool) -> None:
    driver = drive_sockets()
    driver.accepts = accepts
    client = driver.client(transport)
    for part in (EARLY[:cut], EARLY[cut:]):
        if part:
            client.send(*part)
    if not accepts:
        assert received(driver) == []
        [asked] = driver.told(ConnectAsked)
        assert driver.core.accept(asked.ticket)
        driver.settle()
    assert received(driver) == [["early"], ["binary", b"\x01"], ["last"]]
    assert [event.ack_id for event in driver.told(EventReceived)] == [1, None, None]
    kinds = [type(event) for event in driver.log if isinstance(event, SocketConnected | EventReceived)]
    assert kinds == [SocketConnected, EventReceived, EventReceived, EventReceived]
    assert client.session.open


@BOTH
@pytest.mark.parametrize("cut", range(len(EARLY) + 1))
def test_what_comes_behind_a_connect_that_is_refused_is_ignored(transport: str, cut: int) -> None:
    driver = drive_sockets()
    driver.accepts = False
    client = driver.client(transport)
    for part in (EARLY[:cut], EARLY[cut:]):
        if part:
            client.send(*part)
        for asked in driver.told(ConnectAsked):
            driver.core.refuse(asked.ticket, "no")
        driver.settle()
    assert client.take() == ['44{"message":"no"}']
    assert received(driver) == []
    assert client.session.open
    # A later attempt knows nothing of it.
    driver.accepts = True
    client.connect()
    client.emit("x")
    assert received(driver) == [["x"]]


def test_events_before_the_answer_are_limited_in_number() -> None:
    driver = drive_sockets(max_early=3)
    driver.accepts = False
    driver.core.of("/other")
    client = driver.client("websocket")
    reasons = session_reasons(client)
    client.send("40", "40/other,", *(3 * ['42["x"]']), *(3 * ['42/other,["x"]']))
    assert client.session.open
    client.send('42["x"]')
    assert reasons == ["forced close"]
    assert not any(asked.ticket.alive for asked in driver.told(ConnectAsked))
    assert received(driver) == []


def test_events_before_the_answer_are_limited_in_bytes() -> None:
    driver = drive_sockets(max_early_bytes=1000)
    driver.accepts = False
    client = driver.client("websocket")
    reasons = session_reasons(client)
    client.send("40", f'42["{495 * "x"}"]', f'42["{495 * "x"}"]')
    assert client.session.open
    client.send('42["x"]')
    assert reasons == ["forced close"]


def test_binary_before_the_first_answer_is_limited() -> None:
    driver = drive_sockets(max_early_bytes=1000)
    driver.accepts = False
    client = driver.client("websocket")
    reasons = session_reasons(client)
    client.send("40", '452-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', 900 * b"x")
    assert client.session.open
    client.send(100 * b"x")
    assert reasons == ["forced close"]
    # It is no limit of those that are in.
    driver.accepts = True
    client, _ = driver.join()
    client.send('451-["x",{"_placeholder":true,"num":0}]', 2000 * b"x")
    assert received(driver) == [["x", 2000 * b"x"]]


@BOTH
def test_binary_events(transport: str) -> None:
    driver = drive_sockets()
    client, socket = driver.join(transport)
    holder = '{"_placeholder":true,"num":%d}'
    client.send(f'452-7["x",{holder % 0},{{"k":{holder % 1}}}]', b"\x01", b"\x02")
    [event] = driver.told(EventReceived)
    assert event.args == ["x", b"\x01", {"k": b"\x02"}]
    assert event.ack_id == 7
    socket.emit("y", b"\x03", [b"\x04"])
    driver.settle()
    assert client.take() == [f'452-["y",{holder % 0},[{holder % 1}]]', b"\x03", b"\x04"]


def test_the_size_of_an_event_is_known() -> None:
    driver = drive_sockets()
    client, _ = driver.join()
    client.send('42["x"]', '451-["x",{"_placeholder":true,"num":0}]', b"12345", '42["x"]')
    sizes = [event.size for event in driver.told(EventReceived)]
    assert sizes == [6, len('51-["x",{"_placeholder":true,"num":0}]') + 5, 6]


# -- sending before and after


def test_what_a_middleware_emits_follows_the_connect() -> None:
    driver = drive_sockets()
    driver.accepts = False
    client = driver.client("websocket")
    client.send("40")
    [asked] = driver.told(ConnectAsked)
    socket = asked.socket
    assert not socket.connected
    socket.emit("first", b"\x01")
    socket.volatile.emit("dropped")
    pending = socket.emit_with_ack("second")
    driver.core.sockets.emit("to the connected only")
    socket.disconnect()
    driver.settle()
    assert client.take() == []
    driver.core.accept(asked.ticket)
    driver.settle()
    connect, *rest = client.take()
    assert connect == f'40{{"sid":"{socket.id}"}}'
    assert rest == ['451-["first",{"_placeholder":true,"num":0}]', b"\x01", '420["second"]']
    client.send('430["yes"]')
    assert pending.result() == "yes"


def test_commands_after_the_end_are_harmless() -> None:
    driver = drive_sockets()
    client, socket = driver.join()
    _, witness = driver.join()
    client.emit("ask", ack=3)
    socket.disconnect()
    driver.settle()
    client.take()
    socket.emit("late")
    socket.send("late")
    socket.volatile.emit("late")
    socket.join("room")
    socket.leave("room")
    socket.disconnect()
    socket.disconnect(close=True)
    assert not socket.acknowledge(3, ["late"])
    driver.core.sockets.to(socket.id).emit("late")
    driver.settle()
    assert client.take() == []
    assert socket.rooms == frozenset()
    assert client.session.open
    assert len(driver.told(SocketDisconnected)) == 1
    assert list(driver.core.sockets.sockets.values()) == [witness]


def test_a_namespace_may_be_joined_again() -> None:
    driver = drive_sockets()
    client, socket = driver.join()
    client.send("41")
    again = driver.socket(client.connect())
    assert again.id != socket.id
    assert again.connected
    assert again.rooms == {again.id}
    assert not socket.connected


# -- reasons


def test_client_namespace_disconnect() -> None:
    driver = drive_sockets()
    driver.core.of("/admin")
    client, socket = driver.join()
    admin = driver.socket(client.connect("/admin"))
    client.send("41/admin,")
    assert [(event.socket, event.reason) for event in driver.told(SocketDisconnected)] == [
        (admin, "client namespace disconnect")
    ]
    assert socket.connected
    assert client.session.open
    assert client.take() == []


def test_server_namespace_disconnect() -> None:
    driver = drive_sockets()
    driver.core.of("/admin")
    client, socket = driver.join()
    admin = driver.socket(client.connect("/admin"))
    admin.emit("last")
    admin.disconnect()
    driver.settle()
    assert client.take() == ['42/admin,["last"]', "41/admin,"]
    assert driver.reasons() == ["server namespace disconnect"]
    assert socket.connected


@BOTH
def test_a_disconnect_that_closes(transport: str) -> None:
    driver = drive_sockets()
    driver.core.of("/admin")
    client, socket = driver.join(transport)
    client.connect("/admin")
    reasons = session_reasons(client)
    socket.disconnect(close=True)
    driver.settle()
    packets = client.take()
    assert packets[:2] == ["41", "41/admin,"]
    assert client.over
    assert driver.reasons() == ["server namespace disconnect"] * 2
    assert reasons == ["forced close"]


def test_disconnect_sockets() -> None:
    driver = drive_sockets()
    clients = [driver.join() for _ in range(3)]
    clients[0][1].join("out")
    clients[1][1].join("out")
    driver.core.sockets.in_("out").disconnect_sockets()
    driver.settle()
    assert [client.take() for client, _ in clients] == [["41"], ["41"], []]
    driver.core.sockets.disconnect_sockets(close=True)
    driver.settle()
    assert clients[2][0].over
    assert driver.reasons() == ["server namespace disconnect"] * 3


@BOTH
def test_server_shutting_down(transport: str) -> None:
    driver = drive_sockets()
    driver.core.of("/admin")
    client, socket = driver.join(transport)
    client.connect("/admin")
    socket.emit("last")
    driver.core.shut_down()
    driver.settle()
    packets = client.take()
    assert packets[0] == '42["last"]'
    assert not any(str(packet).startswith("41") for packet in packets)
    assert client.over
    assert driver.reasons() == ["server shutting down"] * 2
    assert driver.client().opening.status == 503
    assert living(driver.core.timers) == {}


def test_ping_timeout() -> None:
    driver = drive_sockets()
    driver.join(pongs=False)
    driver.advance(45.1)
    assert driver.reasons() == ["ping timeout"]


@pytest.mark.parametrize("how", ["conn.close", "discard", "engine.close"])
def test_forced_close(how: str) -> None:
    driver = drive_sockets()
    _, socket = driver.join()
    if how == "engine.close":
        driver.engine.close()
    else:
        socket.conn.close(discard=how == "discard")
    driver.settle()
    assert driver.reasons() == ["forced close"]


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_transport_close(transport: str) -> None:
    driver = drive_sockets()
    client, _ = driver.join(transport)
    client.send('42["last"]', "1")
    assert received(driver) == [["last"]]
    assert driver.reasons() == ["transport close"]
    client, _ = driver.join()
    client.lose()
    assert driver.reasons() == ["transport close"] * 2


def test_transport_error() -> None:
    driver = drive_sockets()
    client, _ = driver.join()
    client.lose("message too large")
    polling, _ = driver.join("polling")
    polling.lose()
    assert [(event.reason, event.description) for event in driver.told(SocketDisconnected)] == [
        ("transport error", "message too large"),
        ("transport error", "poll connection closed prematurely"),
    ]


@BOTH
def test_parse_error(transport: str) -> None:
    driver = drive_sockets()
    client, _ = driver.join(transport)
    if transport == "polling":
        assert client.post("9").status == 400
    else:
        client.send("9")
    assert driver.reasons() == ["parse error"]
    assert driver.told(DecodeFailed) == []


# -- disconnecting


def test_rooms_stay_until_disconnecting_is_over() -> None:
    driver = drive_sockets()
    driver.finishes = False
    client, socket = driver.join()
    other, _ = driver.join()
    socket.join("room")
    client.lose()
    [asked] = driver.told(DisconnectingAsked)
    assert (asked.socket, asked.reason, asked.description) == (socket, "transport close", None)
    assert socket.connected
    assert socket.rooms == {socket.id, "room"}
    assert socket.id in socket.namespace.sockets
    # It may tell its rooms, and gets nothing itself.
    socket.to("room").emit("left")
    driver.core.sockets.emit("gone")
    socket.emit("unheard")
    driver.settle()
    assert other.take() == ['42["gone"]']
    assert driver.told(SocketDisconnected) == []
    assert driver.core.finish_disconnect(socket)
    driver.settle()
    [told] = driver.told(SocketDisconnected)
    assert (told.socket, told.reason) == (socket, "transport close")
    assert not socket.connected
    assert socket.rooms == frozenset()
    assert socket.id not in socket.namespace.sockets
    assert not driver.core.finish_disconnect(socket)


def test_disconnecting_has_a_time_limit() -> None:
    driver = drive_sockets(disconnecting_timeout=5.0)
    driver.finishes = False
    client, socket = driver.join()
    socket.disconnect()
    driver.settle()
    driver.advance(4.9)
    assert socket.rooms
    driver.advance(0.2)
    assert socket.rooms == frozenset()
    assert driver.reasons() == ["server namespace disconnect"]
    assert not driver.core.finish_disconnect(socket)
    assert client.session.open


def test_disconnecting_while_disconnecting_is_harmless() -> None:
    driver = drive_sockets()
    driver.finishes = False
    client, socket = driver.join()
    socket.disconnect()
    socket.disconnect()
    socket.disconnect(close=True)
    driver.settle()
    assert client.take() == ["41"]
    client.send("41")
    client.lose()
    driver.core.finish_disconnect(socket)
    driver.settle()
    assert len(driver.told(DisconnectingAsked)) == 1
    assert driver.reasons() == ["server namespace disconnect"]


def test_joining_again_while_the_old_socket_is_leaving() -> None:
    driver = drive_sockets()
    driver.finishes = False
    client, socket = driver.join()
    client.send("41")
    again = driver.socket(client.connect())
    client.emit("new")
    assert driver.told(EventReceived)[-1].socket is again
    driver.core.finish_disconnect(socket)
    assert again.connected
    assert list(driver.core.sockets.sockets) == [again.id]


# -- volatile


def test_volatile_over_polling_needs_a_held_poll() -> None:
    driver = drive_sockets()
    client, socket = driver.join("polling")
    socket.volatile.emit("held", b"\x01")
    driver.settle()
    assert client.take() == ['451-["held",{"_placeholder":true,"num":0}]', b"\x01"]
    client.polls = False
    socket.emit("release")
    driver.settle()
    socket.volatile.emit("dropped", b"\x02")
    socket.emit("kept")
    driver.core.sockets.volatile.emit("dropped, too")
    client.polls = True
    client.poll()
    assert client.take() == ['42["release"]', '42["kept"]']


def test_volatile_over_websocket_needs_it_not_to_be_blocked() -> None:
    driver = drive_sockets()
    client, socket = driver.join()
    socket.emit("first")
    socket.volatile.emit("second")  # behind another one in the same turn, which is no reason to drop it
    driver.settle()
    client.block()
    socket.volatile.emit("dropped")
    driver.core.sockets.volatile.emit("dropped, too")
    socket.emit("kept")
    driver.settle()
    client.unblock()
    assert client.take() == ['42["first"]', '42["second"]', '42["kept"]']


# -- namespaces


def test_namespaces_come_to_be_once() -> None:
    driver = drive_sockets()
    chat = driver.core.of("chat")
    assert chat is driver.core.of("/chat")
    assert chat.name == "/chat"
    assert driver.core.of("/") is driver.core.sockets
    driver.settle()
    assert driver.created() == ["/chat"]
    with pytest.raises(TypeError, match="not int"):
        driver.core.of(7)  # type: ignore[call-overload]


def test_a_namespace_of_a_class() -> None:
    class Chat(Namespace):
        pass

    driver = drive_sockets()
    assert isinstance(driver.core.of("/chat", Chat), Chat)
    assert isinstance(driver.core.of("/chat", Chat), Chat)
    driver.core.of("/plain")
    with pytest.raises(LocalProtocolError, match=r"/plain.*Chat"):
        driver.core.of("/plain", Chat)


# -- dynamic namespaces


def test_a_pattern_fits_the_whole_name() -> None:
    driver = drive_sockets()
    parent = driver.core.of(re.compile(r"/room-\d+"))
    client = driver.client("websocket")
    socket = driver.socket(client.connect("/room-12"))
    assert socket.namespace.name == "/room-12"
    assert socket.namespace.parent is parent
    assert list(parent.children) == ["/room-12"]
    assert driver.created() == ["/room-12"]
    for name in ("/room-", "/room-1x", "/a/room-1", "/room-1/b"):
        client.send(f"40{name},")
        assert client.take() == [f'44{name},{{"message":"Invalid namespace"}}']
    other, _ = driver.join(namespace="/room-12")
    assert len(socket.namespace.sockets) == 2
    assert driver.created() == ["/room-12"]
    assert other.session.open


def test_a_pattern_is_told_of_the_query_in_a_name() -> None:
    driver = drive_sockets()
    driver.core.of(re.compile(r"/room"))
    client = driver.client("websocket")
    client.send("40/room?token=1,")
    assert client.take() == ['44/room?token=1,{"message":"Invalid namespace"}']


def test_a_name_that_is_made_by_hand_has_the_parent_that_fits() -> None:
    """Otherwise the clients of a name that the application mentioned first would pass none of the middlewares."""
    driver = drive_sockets()
    parent = driver.core.of(re.compile("/room-.*"))
    parent.use(lambda socket: None)
    assert driver.core.of("/room-1").parent is parent
    assert len(driver.core.of("/room-1").middlewares()) == 1
    assert driver.core.of("/other").parent is None


def test_known_names_come_first_then_parents_in_their_order() -> None:
    driver = drive_sockets()
    known = driver.core.of("/a")
    first = driver.core.of(re.compile("/b.*"))
    second = driver.core.of(re.compile("/.*"))
    client = driver.client("websocket")
    sockets = [driver.socket(client.connect(name)) for name in ("/a", "/b1", "/c")]
    assert [socket.namespace.parent for socket in sockets] == [None, first, second]
    assert sockets[0].namespace is known


def test_a_predicate_is_a_question() -> None:
    driver = drive_sockets()
    parents = [driver.core.of(lambda name, auth: True) for _ in range(3)]
    client = driver.client("websocket")
    client.send('40/x,{"token":1}')
    assert client.take() == []
    [asked] = driver.told(NamespaceAsked)
    assert (asked.parent, asked.ticket.name, asked.ticket.auth) == (parents[0], "/x", {"token": 1})
    assert driver.core.answer_namespace(asked.ticket, allowed=False)
    driver.settle()
    assert driver.told(NamespaceAsked)[-1].parent is parents[1]
    assert driver.core.answer_namespace(asked.ticket, allowed=True)
    assert not driver.core.answer_namespace(asked.ticket, allowed=True)
    driver.settle()
    assert driver.told(SocketConnected)[-1].socket.namespace.parent is parents[1]
    assert len(driver.told(NamespaceAsked)) == 2
    assert len(client.take()) == 1


def test_predicates_that_all_say_no() -> None:
    driver = drive_sockets()
    driver.core.of(lambda name, auth: False)
    driver.core.of(re.compile("/never"))
    client = driver.client("websocket")
    client.send("40/x,")
    [asked] = driver.told(NamespaceAsked)
    driver.core.answer_namespace(asked.ticket, allowed=False)
    driver.settle()
    assert client.take() == ['44/x,{"message":"Invalid namespace"}']
    assert driver.created() == []


def test_a_predicate_that_answers_too_late() -> None:
    driver = drive_sockets()
    driver.core.of(lambda name, auth: True)
    client = driver.client("websocket")
    client.send("40/x,")
    [asked] = driver.told(NamespaceAsked)
    client.lose()
    assert not driver.core.answer_namespace(asked.ticket, allowed=True)
    assert not driver.core.answer_namespace(asked.ticket, allowed=False)
    driver.settle()
    assert driver.created() == []
    assert "/x" not in driver.core.namespaces


def test_two_clients_that_wait_for_the_same_predicate_meet() -> None:
    driver = drive_sockets()
    parent = driver.core.of(lambda name, auth: True)
    clients = [driver.client("websocket") for _ in range(2)]
    for client in clients:
        client.send("40/x,")
    for asked in driver.told(NamespaceAsked):
        driver.core.answer_namespace(asked.ticket, allowed=True)
    driver.settle()
    assert len(parent.children["/x"].sockets) == 2
    assert driver.created() == ["/x"]


def test_an_empty_child_goes() -> None:
    driver = drive_sockets()
    parent = driver.core.of(re.compile("/x"))
    client, socket = driver.join(namespace="/x")
    first = socket.namespace
    client.send("41/x,")
    assert parent.children == {}
    assert "/x" not in driver.core.namespaces
    second = driver.socket(client.connect("/x")).namespace
    assert second is not first
    assert parent.children == {"/x": second}
    client.lose()
    assert parent.children == {}


def test_a_child_that_the_application_made_stays() -> None:
    """It may have handlers of its own, which the next client needs as much as the first."""
    driver = drive_sockets()
    parent = driver.core.of(re.compile("/x"))
    child = driver.core.of("/x")
    child.on("say", print)
    client, socket = driver.join(namespace="/x")
    assert socket.namespace is child
    client.lose()
    assert parent.children == {"/x": child}
    assert driver.join(namespace="/x")[1].namespace is child
    assert driver.created() == ["/x"]


def test_a_child_of_refused_clients_goes() -> None:
    driver = drive_sockets()
    parent = driver.core.of(re.compile("/x.*"))
    driver.accepts = False
    client = driver.client("websocket")
    client.send("40/x1,", "40/x2,")
    asked = driver.told(ConnectAsked)
    driver.core.refuse(asked[0].ticket, "no")
    assert list(parent.children) == ["/x2"]
    client.lose()
    assert parent.children == {}
    assert set(driver.core.namespaces) == {"/"}


def test_nobody_joins_an_orphan() -> None:
    """A child stays while anybody is still being asked about, though the last socket leaves meanwhile."""
    driver = drive_sockets()
    parent = driver.core.of(re.compile("/x"))
    leaver, _ = driver.join(namespace="/x")
    driver.accepts = False
    refused, joiner = driver.client("websocket"), driver.client("websocket")
    refused.send("40/x,")
    joiner.send("40/x,")
    leaver.lose()
    asked = driver.told(ConnectAsked)[-2:]
    driver.core.refuse(asked[0].ticket, "no")
    driver.settle()
    driver.core.accept(asked[1].ticket)
    driver.settle()
    assert asked[1].socket.namespace is parent.children["/x"]
    assert asked[1].socket.namespace is driver.core.of("/x")
    parent.emit("family")
    driver.settle()
    assert joiner.take()[1:] == ['42/x,["family"]']


def test_a_child_stays_while_a_socket_is_leaving() -> None:
    driver = drive_sockets()
    driver.finishes = False
    parent = driver.core.of(re.compile("/x"))
    client, socket = driver.join(namespace="/x")
    client.send("41/x,")
    again = driver.socket(client.connect("/x"))
    assert again.namespace is socket.namespace
    driver.core.finish_disconnect(socket)
    assert list(parent.children) == ["/x"]


def test_children_have_what_their_parent_has() -> None:
    driver = drive_sockets()
    parent = driver.core.of(re.compile("/x"))

    def first(*_: object) -> None: ...
    def later(*_: object) -> None: ...
    def own(*_: object) -> None: ...

    parent.use(first)
    parent.on("connection", first)
    parent.on("say", first)
    parent.on_any(first)
    _, socket = driver.join(namespace="/x")
    child = socket.namespace
    parent.use(later)
    parent.on("connection", later)
    parent.on("say", later)
    parent.on_any(later)
    child.use(own)
    child.on("connection", own)
    child.on("say", own)
    child.on_any(own)
    calls = [first, later, own]
    assert [each.call for each in child.middlewares()] == calls
    assert [each.call for each in child.lifecycle_listeners("connection")] == calls
    assert [each.call for each in child.wire_listeners("say")] == calls
    assert list(child.any_listeners()) in ([own], calls)
    assert [each.call for each in child.catch_alls()] == calls
    assert [each.call for each in parent.middlewares()] == [first, later]


def test_a_parent_sends_to_all_children() -> None:
    driver = drive_sockets()
    parent = driver.core.of(re.compile("/x.*"))
    assert isinstance(parent, DynamicNamespace)
    first, one = driver.join(namespace="/x1")
    second, two = driver.join(namespace="/x2")
    outside, _ = driver.join()
    parent.emit("all", b"\x01")
    two.join("room")
    parent.to("room").emit("some")
    parent.except_("room").emit("others")
    driver.settle()
    binary = '["all",{"_placeholder":true,"num":0}]'
    assert first.take() == ["451-/x1," + binary, b"\x01", '42/x1,["others"]']
    assert second.take() == ["451-/x2," + binary, b"\x01", '42/x2,["some"]']
    assert outside.take() == []
    parent.sockets_join("everybody")
    assert one.rooms == {one.id, "everybody"}
    parent.in_("everybody").sockets_leave("everybody")
    assert two.rooms == {two.id, "room"}
    parent.disconnect_sockets()
    driver.settle()
    assert driver.reasons() == ["server namespace disconnect"] * 2
    assert parent.children == {}


def test_a_parent_cannot_be_asked() -> None:
    parent = drive_sockets().core.of(re.compile("/x"))
    for ask in (parent.fetch_sockets, parent.count_sockets, lambda: parent.emit_with_ack("x")):
        with pytest.raises(LocalProtocolError, match="children"):
            ask()
    with pytest.raises(LocalProtocolError, match="children"):
        parent.server_side_emit("x")


# -- the floor below


def test_every_input_reaches_the_floor_below() -> None:
    driver = drive_sockets()
    client, socket = driver.join()
    client.block()
    socket.emit("x")
    driver.settle()
    client.unblock()
    assert client.take() == ['42["x"]']
    polling, _ = driver.join("polling")
    post = polling.begin_post()
    driver.core.receive_oversize(post.exchange)
    driver.settle()
    assert post.status == 413
    polling.abort(polling.begin_post())
    assert driver.reasons() == ["transport error"]


def test_other_events_pass_through() -> None:
    driver = drive_sockets()
    driver.get("EIO=3&transport=polling")
    assert [event.code for event in driver.told(RequestRefused)] == [5]
    call = driver.request(Request("GET", "/elsewhere", []))
    driver.core.receive_body(call.exchange, b"")
    driver.settle()
    assert [type(event).__name__ for event in driver.log] == ["RequestRefused", "ForeignRequest"]


@BOTH
def test_the_packets_of_a_session_keep_their_order(transport: str) -> None:
    """Namespaces share one stream: what is sent with attachments is never torn apart."""
    driver = drive_sockets()
    driver.core.of("/other")
    client, socket = driver.join(transport)
    other = driver.socket(client.connect("/other"))
    for number in range(3):
        socket.emit("a", bytes([number]))
        other.emit("b", number)
        driver.core.sockets.emit("c", bytes([number]))
    driver.settle()
    holder = '{"_placeholder":true,"num":0}'
    assert client.take() == [
        packet
        for number in range(3)
        for packet in (
            f'451-["a",{holder}]',
            bytes([number]),
            f'42/other,["b",{number}]',
            f'451-["c",{holder}]',
            bytes([number]),
        )
    ]


def test_a_socket_can_be_told_apart() -> None:
    driver = drive_sockets()
    _, socket = driver.join()
    assert socket.id in repr(socket)
    assert "connected" in repr(socket)
    socket.color = "red"  # type: ignore[attr-defined]
    assert socket.color == "red"  # type: ignore[attr-defined]
    socket.data["user"] = "ann"
    assert socket.data == {"user": "ann"}
    assert "/" in repr(driver.core.sockets)
    assert "id-" not in repr(socket.handshake)
    assert socket.conn.id not in repr(socket)


# -- anything, in any order

MESSAGES: list[str | bytes] = [
    *["40", "40/a,", "40/x1,", "40/x2,", "40/none,"] * 2,
    "41",
    "41/a,",
    "41/x1,",
    '42["e"]',
    '42/a,1["e",1]',
    '42/x1,["e"]',
    '451-["b",{"_placeholder":true,"num":0}]',
    b"\x00",
    "430[]",
    "43/a,1[2]",
    '44{"message":"no"}',
    "4nonsense",
    "40null",
]


class Walk(RuleBasedStateMachine):
    """Clients that say anything, questions that are answered late or never, sockets that leave in every way."""

    @initialize()
    def start(self) -> None:
        self.driver = drive_sockets(
            max_pending_connects=3, max_namespaces=4, connect_rate=20, disconnecting_timeout=2.0
        )
        self.driver.accepts = self.driver.finishes = False
        self.driver.core.of("/a")
        self.parent = self.driver.core.of(re.compile(r"/x\d"))
        self.clients: list[Client] = []
        self.answers: list[bool] = []

    def asked(self) -> list[ConnectAsked]:
        return [each for each in self.driver.told(ConnectAsked) if each.ticket.alive]

    def sockets(self) -> list[Socket]:
        return [each.socket for each in self.driver.told(SocketConnected)]

    @rule(transport=st.sampled_from(["polling", "websocket"]))
    def connect(self, transport: str) -> None:
        self.clients.append(self.driver.client(transport))

    @precondition(lambda self: any(not client.over for client in self.clients))
    @rule(data=st.data(), messages=st.lists(st.sampled_from(MESSAGES), min_size=1, max_size=4))
    def say(self, data: st.DataObject, messages: list[str | bytes]) -> None:
        data.draw(st.sampled_from([client for client in self.clients if not client.over])).send(*messages)

    @precondition(lambda self: any(not client.over for client in self.clients))
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from([client for client in self.clients if not client.over])).lose()

    @precondition(lambda self: self.asked())
    @rule(data=st.data(), accept=st.booleans())
    def answer(self, data: st.DataObject, accept: bool) -> None:
        ticket = data.draw(st.sampled_from(self.asked())).ticket
        assert self.driver.core.accept(ticket) if accept else self.driver.core.refuse(ticket, "no")
        self.driver.settle()

    @precondition(lambda self: self.sockets())
    @rule(data=st.data(), how=st.sampled_from(["disconnect", "close", "finish", "emit", "ask", "join"]))
    def command(self, data: st.DataObject, how: str) -> None:
        socket = data.draw(st.sampled_from(self.sockets()))
        if how == "finish":
            self.driver.core.finish_disconnect(socket)
        elif how == "emit":
            socket.emit("x", b"\x01")
            socket.broadcast.emit("x")
        elif how == "ask":
            socket.timeout(1.0).emit_with_ack("x").on_done(lambda _: self.answers.append(True))
            self.answers.append(False)
        elif how == "join":
            socket.join("room")
        else:
            socket.disconnect(close=how == "close")
        self.driver.settle()

    @rule(seconds=st.sampled_from([0.5, 3.0, 30.0, 46.0]))
    def pass_time(self, seconds: float) -> None:
        self.driver.advance(seconds)

    @invariant()
    def each_socket_lives_once(self) -> None:
        if not hasattr(self, "driver"):
            return
        life: dict[Socket, list[str]] = {}
        for event in self.driver.log:
            if not isinstance(event, ConnectAsked) and hasattr(event, "socket"):
                life.setdefault(event.socket, []).append(type(event).__name__)
        for socket, events in life.items():
            names = [name for name in events if name not in ("EventReceived", "DecodeFailed")]
            assert names == ["SocketConnected", "DisconnectingAsked", "SocketDisconnected"][: len(names)]
            assert events[0] == "SocketConnected"
            if "DisconnectingAsked" in events:
                assert set(events[events.index("DisconnectingAsked") + 1 :]) <= {"SocketDisconnected"}
            states = [SocketState.CONNECTED, SocketState.DISCONNECTING, SocketState.DISCONNECTED]
            assert socket.state is states[len(names) - 1]
            assert (socket.id in socket.rooms) == socket.connected
            assert (socket.namespace.sockets.get(socket.id) is socket) == socket.connected

    @invariant()
    def namespaces_hold_who_is_there(self) -> None:
        if not hasattr(self, "driver"):
            return
        core = self.driver.core
        waiting = [each.socket for each in self.asked()]
        present = [socket for socket in self.sockets() if socket.connected]
        for namespace in core.namespaces.values():
            assert set(namespace.sockets.values()) == {each for each in present if each.namespace is namespace}
            assert namespace.connecting == sum(each.namespace is namespace for each in waiting)
        assert set(core.namespaces) == {"/", "/a"} | {each.namespace.name for each in waiting + present}
        assert set(self.parent.children) == {name for name in core.namespaces if name.startswith("/x")}
        armed = {label: number for label, number, _ in core.timers.explain()}
        assert armed["disconnecting"] == sum(each.state is SocketState.DISCONNECTING for each in present)
        sessions = core.engine.sessions.values()
        assert armed["connect"] == sum(not session.client.ever_connected for session in sessions)
        assert armed["odd durations"] == self.answers.count(False) - self.answers.count(True)

    def teardown(self) -> None:
        self.driver.core.shut_down()
        self.driver.core.cut_off()
        self.driver.settle()
        self.each_socket_lives_once()
        self.namespaces_hold_who_is_there()
        assert living(self.driver.core.timers) == {}
        assert all(not socket.connected for socket in self.sockets())
        assert self.driver.core.engine.sessions == {}


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
