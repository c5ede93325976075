"""The connection that all namespaces of a client share: opened, lost, opened again, and left."""

from __future__ import annotations

from typing import Any

import pytest

from sioproto import ConnectError, Disconnected, LocalProtocolError, OptionError, Request, Response
from sioproto.config import ClientConfig, EngineClientConfig
from sioproto.engineio import Fetch
from sioproto.guard import EasyExit
from sioproto.socketio import Reconnection, SocketClient
from sioproto.testing import World
from tests.byhand import ORIGIN, error_of, hand_sockets
from tests.virtual import Clock, make_environment

# -- coming back


def test_a_lost_connection_is_opened_again() -> None:
    hand = hand_sockets()
    socket = hand.join()
    hand.lose()
    assert hand.story() == ["/ disconnected: transport close (websocket connection closed)"]
    assert (socket.connected, socket.active, socket.id) == (False, True, None)
    assert hand.core.reconnecting
    hand.advance(0.999)
    assert hand.fetches == []
    hand.advance(0.001)
    assert hand.story() == ["/ reconnect_attempt 1"]
    hand.open()
    assert not hand.core.reconnecting
    assert hand.story() == ["/ reconnect 1"]
    hand.accept("two")
    assert hand.story() == ["/ connected"]
    assert socket.id == "two"


def test_attempts_that_fail_wait_longer_and_longer() -> None:
    hand = hand_sockets()
    hand.join()
    hand.lose()
    hand.story()
    for attempt, delay in enumerate([1, 2, 3.5, 3.75, 3.75], 1):
        hand.advance(delay - 0.01)
        assert hand.fetches == []
        hand.advance(0.01)
        hand.fail()
        assert hand.story() == [
            f"/ reconnect_attempt {attempt}",
            "/ failed: websocket error: no route",
            "/ reconnect_error websocket error: no route",
        ]
    hand.advance(5)
    hand.open()
    hand.accept("two")
    hand.advance(5)
    hand.lose()
    hand.advance(1)
    assert len(hand.fetches) == 1


@pytest.mark.parametrize(("lasts", "delay"), [(0.0, 2.0), (2.9, 2.0), (3.0, 1.0), (100.0, 1.0)])
def test_only_a_connection_that_lasts_begins_the_delays_anew(lasts: float, delay: float) -> None:
    hand = hand_sockets(reconnection_reset_after=3.0, reconnection_attempts=3)
    hand.join()
    hand.lose()
    hand.advance(1)
    hand.open(interval=300_000)
    hand.accept()
    hand.advance(lasts)
    hand.lose()
    hand.advance(delay - 0.01)
    assert hand.fetches == []
    hand.advance(0.01)
    assert len(hand.fetches) == 1
    # Attempts are counted anew whenever a connection came up: "in a row" is about those that fail.
    assert [each.args for each in hand.told(Reconnection) if each.stage == "reconnect_attempt"] == [(1,), (1,)]


def test_the_first_connection_is_tried_again_too() -> None:
    hand = hand_sockets()
    socket = hand.core.of("/")
    pending = socket.connect()
    hand.settle()
    hand.fail()
    assert hand.story() == ["/ failed: websocket error: no route"]
    assert socket.active
    assert not pending.done
    hand.advance(1)
    hand.open()
    hand.accept()
    assert pending.done
    assert hand.story() == ["/ reconnect_attempt 1", "/ reconnect 1", "/ connected"]


def test_it_gives_up_after_so_many_attempts() -> None:
    hand = hand_sockets(reconnection_attempts=2)
    main, admin = hand.core.of("/"), hand.core.of("/admin")
    pending = [main.connect(), admin.connect()]
    idle = hand.core.of("/idle")
    hand.settle()
    hand.fail()
    hand.advance(1)
    hand.fail()
    hand.advance(2)
    hand.story()
    hand.fail("still none")
    assert hand.story() == [
        "/ failed: websocket error: still none",
        "/admin failed: websocket error: still none",
        "/ reconnect_error websocket error: still none",
        "/admin reconnect_error websocket error: still none",
        "/ reconnect_failed",
        "/admin reconnect_failed",
    ]
    assert [str(error_of(each)) for each in pending] == 2 * ["websocket error: still none"]
    assert (main.active, admin.active, idle.active) == (False, False, False)
    assert hand.core.closed
    assert hand.armed == 0
    # Afterwards everything may begin anew.
    main.connect()
    hand.settle()
    hand.fail()
    assert main.active


def test_without_reconnection_a_loss_is_the_end() -> None:
    hand = hand_sockets(reconnection=False)
    socket = hand.join()
    hand.lose()
    assert hand.story() == ["/ disconnected: transport close (websocket connection closed)"]
    assert not socket.active
    assert hand.armed == 0
    pending = socket.connect()
    hand.settle()
    hand.fail()
    assert isinstance(error_of(pending), ConnectError)
    assert hand.story() == ["/ failed: websocket error: no route"]
    assert hand.armed == 0


def test_leaving_ends_the_attempts() -> None:
    hand = hand_sockets()
    socket = hand.join()
    hand.lose()
    socket.disconnect()
    assert hand.armed == 0
    assert hand.core.closed
    hand.advance(60)
    assert hand.fetches == []


def test_leaving_forgets_how_often_it_failed() -> None:
    hand = hand_sockets()
    socket = hand.core.of("/")
    socket.connect()
    hand.settle()
    hand.fail()
    hand.advance(1)
    hand.fail()
    socket.disconnect()
    socket.connect()
    hand.settle()
    hand.fail()
    hand.story()
    hand.advance(1)
    assert hand.story() == ["/ reconnect_attempt 1"]


def test_what_comes_behind_the_end_of_a_connection_is_not_for_the_next_one() -> None:
    hand = hand_sockets()
    socket = hand.join()

    def again(_: object) -> None:
        socket.disconnect()
        socket.connect()

    socket.emit_with_ack("x").on_done(again)
    hand.settle()
    hand.say("430[]", '451-["x",{"_placeholder":true,"num":0}]')
    hand.open()
    hand.accept("two")
    hand.emit("y")
    assert hand.story() == ["/ disconnected: io client disconnect", "/ connected", "/ got y"]


def test_whoever_connects_meanwhile_waits_for_the_next_attempt() -> None:
    hand = hand_sockets()
    hand.join()
    hand.lose()
    hand.core.of("/admin").connect()
    hand.settle()
    assert hand.fetches == []
    hand.advance(1)
    hand.open()
    assert hand.take() == ["40", "40/admin,"]


def test_opening_has_its_time() -> None:
    hand = hand_sockets(open_timeout=7.0, reconnection_attempts=1)
    pending = hand.core.of("/").connect()
    hand.settle()
    assert len(hand.fetches) == 1
    hand.advance(7)
    assert hand.story() == ["/ failed: timeout"]
    assert hand.fetches == []
    hand.advance(1)
    assert len(hand.fetches) == 1
    hand.advance(7)
    assert str(error_of(pending)) == "timeout"
    assert hand.fetches == []
    assert hand.armed == 0


def test_opening_may_take_for_ever_if_it_is_told_so() -> None:
    hand = hand_sockets(open_timeout=None)
    hand.core.of("/").connect()
    hand.settle()
    assert hand.armed == 0
    hand.advance(3600)
    hand.open()
    assert hand.take() == ["40"]


def test_the_time_to_open_is_not_that_of_the_namespace() -> None:
    hand = hand_sockets(open_timeout=7.0)
    pending = hand.core.of("/").connect()
    hand.settle()
    hand.open()
    hand.advance(20)
    assert not pending.done
    hand.accept()
    assert pending.done


def test_a_failure_that_opens_a_connection_in_place_is_no_second_attempt() -> None:
    """Whoever waits for an answer may be told of the loss in place, and connect."""
    hand = hand_sockets()
    socket = hand.join()
    admin = hand.core.of("/admin")
    pending = socket.emit_with_ack("x")

    def again(_: object) -> None:
        socket.disconnect()
        admin.connect()

    pending.on_done(again)
    hand.take()
    hand.lose()
    assert len(hand.fetches) == 1
    assert hand.armed == 1
    hand.open()
    assert hand.take() == ["40/admin,"]
    hand.advance(10)
    assert hand.fetches == []


@pytest.mark.parametrize("options", [{"extra_headers": {"x": "a\r\nb: c"}}, {"query": {"x": "\udc80"}}, {"path": "/ "}])
def test_what_could_not_be_sent_is_refused_before_anybody_connects(options: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        hand_sockets(**options)


def test_an_observer_may_leave_and_come_back_in_place() -> None:
    hand = hand_sockets()
    socket = hand.core.of("/")
    came: list[str] = []

    def again() -> None:
        came.append("open")
        if len(came) == 1:
            socket.disconnect()
            socket.connect()

    hand.core.on("open", again)
    socket.connect()
    hand.settle()
    hand.open()
    assert hand.take() == []
    hand.open()
    assert hand.take() == ["40"]
    hand.accept()
    assert socket.connected


def test_giving_up_may_be_answered_in_place() -> None:
    hand = hand_sockets(reconnection=False)
    main, admin = hand.core.of("/"), hand.core.of("/admin")
    answers = []
    main.connect().on_done(lambda _: answers.append(admin.connect()))
    hand.settle()
    hand.fail()
    assert len(hand.fetches) == 1
    hand.open()
    hand.accept("two", "/admin")
    assert answers[0].done
    assert admin.connected


# -- why it ended


@pytest.mark.parametrize(
    ("packets", "reason"),
    [
        (["4nonsense"], "parse error (unknown packet type)"),
        (['42["x"'], "parse error (invalid payload: invalid JSON)"),
        (['42["connect"]'], "parse error (reserved event name)"),
        (["4" + 'x"'], "parse error (unknown packet type)"),
        (["43[1]"], "parse error (acknowledgement without id)"),
        (['451-["x",{"_placeholder":true,"num":1}]', b"a"], "parse error (illegal attachments)"),
        (['451-["x",{"_placeholder":true,"num":0}]', '42["y"]'], "parse error (got plaintext data when"),
        ([b"a"], "parse error (got binary data when"),
        (["9"], "parse error"),
        ([""], "parse error"),
        (["1"], "transport close (closed by the server)"),
    ],
)
def test_what_a_server_may_not_say_ends_the_connection_and_it_comes_back(packets: list[Any], reason: str) -> None:
    hand = hand_sockets()
    hand.join()
    hand.say(*packets, '42["behind"]')
    (told,) = hand.story()
    assert told.startswith(f"/ disconnected: {reason}")
    assert hand.closed == hand.links
    hand.advance(1)
    hand.open()
    hand.accept("two")
    hand.say('42["x"]')
    assert hand.story() == ["/ reconnect_attempt 1", "/ reconnect 1", "/ connected", "/ got x"]


def test_a_new_connection_begins_to_decode_anew() -> None:
    hand = hand_sockets()
    hand.join()
    hand.say('451-["x",{"_placeholder":true,"num":0}]')
    hand.lose()
    hand.advance(1)
    hand.open()
    hand.accept("two")
    hand.say('42["y"]')
    assert hand.story()[-1] == "/ got y"


def test_a_silent_server_is_gone() -> None:
    hand = hand_sockets()
    hand.join()
    hand.advance(44.9)
    hand.say("2")
    hand.advance(44.9)
    assert hand.story() == []
    hand.advance(0.1)
    assert hand.story() == ["/ disconnected: ping timeout"]
    assert hand.closed == hand.links


def test_the_connection_may_be_closed_by_hand_and_comes_back() -> None:
    hand = hand_sockets()
    hand.join()
    assert hand.core.engine is not None
    hand.core.engine.close()
    assert hand.story() == ["/ disconnected: forced close"]
    assert hand.closed == hand.links
    hand.advance(1)
    hand.open()
    hand.accept("two")
    assert hand.story()[-1] == "/ connected"


def test_a_broken_websocket_is_a_transport_error() -> None:
    hand = hand_sockets()
    hand.join()
    hand.lose("bad frame")
    assert hand.story() == ["/ disconnected: transport error (websocket error: bad frame)"]


def test_what_ended_is_let_go_of() -> None:
    """The request that is held and the one that opens a WebSocket: whoever owns their connections has to hear of it."""
    hand = hand_sockets(transports=("polling", "websocket"))
    hand.core.of("/").connect()
    hand.settle()
    (opening,) = hand.fetches
    hand.fetches.clear()
    handshake = '0{"sid":"s","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}'
    hand.core.receive_response(opening, Response(200, [], handshake.encode()))
    hand.settle()
    assert sorted(fetch.request.method for fetch in hand.fetches) == ["GET", "GET", "POST"]
    hand.advance(46)
    assert hand.story() == ["/ reconnect_attempt 1"]
    assert [fetch for fetch in hand.fetches if "sid=" in fetch.request.target] == []


# -- the sleep of a laptop


def test_an_emit_after_a_sleep_waits_for_the_next_connection() -> None:
    hand = hand_sockets()
    socket = hand.join()
    hand.jump(50)
    socket.emit("x", 1)
    pending = socket.emit_with_ack("x", 2)
    socket.volatile.emit("x", 3)
    assert hand.take() == []
    assert hand.story() == ["/ disconnected: ping timeout"]
    assert socket.buffered == 2
    hand.advance(1)
    hand.open()
    hand.accept("two")
    assert hand.take() == ["40", '42["x",1]', '420["x",2]']
    hand.say("430[7]")
    assert pending.result() == 7


def test_connecting_after_a_sleep_waits_too() -> None:
    hand = hand_sockets()
    hand.join()
    admin = hand.core.of("/admin")
    hand.jump(50)
    admin.connect()
    assert hand.take() == []
    hand.advance(1)
    hand.open()
    assert hand.take() == ["40", "40/admin,"]


def test_leaving_after_a_sleep_is_leaving() -> None:
    hand = hand_sockets()
    socket = hand.join()
    hand.jump(50)
    socket.disconnect()
    assert hand.story() == ["/ disconnected: io client disconnect"]
    assert hand.take() == []
    assert hand.core.closed
    assert hand.armed == 0


# -- observers


def test_the_connection_below_is_observed_whichever_it_is() -> None:
    hand = hand_sockets()
    seen: list[Any] = []
    for event in ("open", "close", "error", "ping", "packet", "packet_create", "drain"):
        hand.core.on(event, lambda *args, event=event: seen.append((event, *args)))

    hand.core.on("open")(lambda: seen.append("opened"))
    hand.core.of("/").connect()
    hand.settle()
    hand.fail()
    assert [(name, str(error)) for name, error in seen] == [("error", "websocket error: no route")]
    seen.clear()
    hand.advance(1)
    hand.open()
    hand.settle()
    assert seen[1:3] == [("open",), "opened"]
    assert ("packet_create", "message", "0") in seen
    assert ("drain",) in seen
    seen.clear()
    hand.say("2")
    assert seen == [("packet", "ping", ""), ("packet_create", "pong", ""), ("ping",), ("drain",)]
    seen.clear()
    hand.lose()
    assert seen == [("close", "transport close", "websocket connection closed")]


def test_observers_may_come_later_and_may_fail() -> None:
    hand = hand_sockets()
    hand.join()
    hand.core.on("ping", lambda: 1 / 0)
    hand.say("2")
    assert hand.story() == ["ObserverFailed"]
    with pytest.raises(LocalProtocolError, match="no event 'reconnect'"):
        hand.core.on("reconnect", print)


# -- what is remembered


def transports(world: World, client: Any) -> str:
    """Returns the transport that the client's newest connection began with."""
    asked = [line for line in str(world.transcript).splitlines() if "> GET" in line and "sid=" not in line]
    return "websocket" if "transport=websocket" in asked[-1] else "polling"


@pytest.mark.parametrize("how", ["cut", "leave"])
def test_an_upgrade_is_remembered_if_that_is_wanted(how: str) -> None:
    for remember in (False, True):
        world = World(seed=1)
        world.server()
        client = world.client(remember_upgrade=remember, transports=("polling", "websocket"))
        world.advance(1)
        assert client.engine is not None
        assert client.engine.upgraded
        assert transports(world, client) == "polling"
        if how == "cut":
            client.network.cut()
        else:
            client.disconnect()
            client.connect()
        world.advance(3)
        assert client.connected
        assert transports(world, client) == ("websocket" if remember else "polling")
        world.close()


def test_a_failure_forgets_the_upgrade() -> None:
    world = World(seed=1)
    world.server()
    client = world.client(remember_upgrade=True, transports=("polling", "websocket"))
    world.advance(1)
    client.network.refuse()
    client.network.cut()
    world.advance(2)
    client.network.restore()
    world.advance(5)
    assert client.connected
    assert transports(world, client) == "polling"
    world.close()


def test_an_error_forgets_it_too() -> None:
    world = World(seed=1)
    world.server()
    client = world.client(remember_upgrade=True, transports=("polling", "websocket"))
    world.advance(1)
    assert client.engine is not None
    assert client.engine.link is not None
    client.receive_link_closed(client.engine.link, None, "bad frame")
    world.advance(3)
    assert client.connected
    assert transports(world, client) == "polling"
    world.close()


def test_cookies_are_kept_over_connections() -> None:
    hand = hand_sockets(cookie_jar=True)
    hand.core.of("/").connect()
    hand.settle()
    (fetch,) = hand.fetches
    hand.core.receive_response(fetch, Response(503, [("Set-Cookie", "node=a; Path=/")], b""))
    hand.fetches.clear()
    hand.advance(1)
    (fetch,) = hand.fetches
    assert ("cookie", "node=a") in [(name.lower(), value) for name, value in fetch.request.headers]


def test_the_query_and_the_headers_go_with_every_request() -> None:
    hand = hand_sockets(query={"room": "a b"}, extra_headers={"x-token": "s3"})
    hand.core.of("/").connect()
    hand.settle()
    request: Request = hand.fetches[0].request
    assert "room=a" in request.target
    assert ("x-token", "s3") in request.headers
    hand.fail()
    hand.advance(1)
    assert hand.fetches[0].request.target == request.target


# -- pausing


def test_a_paused_client_is_not_read_from() -> None:
    hand = hand_sockets()
    hand.join()
    hand.core.pause()
    hand.core.pause()
    hand.take()
    assert hand.core.paused
    assert not hand.link.reading
    hand.core.resume()
    hand.take()
    assert hand.link.reading
    assert not hand.core.paused
    assert hand.armed == 1


def test_a_pause_ends_when_the_servers_patience_does() -> None:
    """Or a handler that waits for an answer behind what is not read would wait for ever."""
    hand = hand_sockets()
    socket = hand.join()
    pending = socket.emit_with_ack("x")
    hand.core.pause()
    hand.advance(44.9)
    assert not pending.done
    hand.advance(0.1)
    assert hand.story() == ["/ disconnected: ping timeout (handlers lag)"]
    assert isinstance(error_of(pending), Disconnected)
    assert hand.closed == hand.links
    assert not hand.core.paused


def test_a_pause_of_a_connection_that_is_gone_is_over() -> None:
    hand = hand_sockets()
    socket = hand.join()
    hand.core.pause()
    hand.lose()
    assert not hand.core.paused
    hand.advance(1)
    hand.open()
    hand.accept("two")
    hand.core.resume()
    hand.core.pause()
    socket.disconnect()
    hand.core.receive_link_closed(hand.link, 1005)
    hand.settle()
    assert hand.armed == 0
    hand.core.pause()
    hand.core.resume()


# -- the end


def test_closing_ends_everything_and_for_good() -> None:
    hand = hand_sockets(ack_timeout=10.0)
    main, admin = hand.join(), hand.join("/admin", "two")
    idle = hand.core.of("/idle")
    answers = [main.emit_with_ack("x"), idle.emit_with_ack("y"), idle.timeout(99).emit_with_ack("z")]
    idle.emit("z")
    hand.take()
    hand.core.close()
    assert [type(error_of(each)) for each in answers] == 3 * [Disconnected]
    assert idle.buffered == 0
    assert hand.take() == ["41", "41/admin,"]
    assert hand.story() == ["/ disconnected: io client disconnect", "/admin disconnected: io client disconnect"]
    hand.core.receive_link_closed(hand.link, 1005)
    hand.settle()
    assert hand.core.closed
    assert hand.armed == 0
    # To be late is normal.
    assert isinstance(error_of(main.connect()), Disconnected)
    assert isinstance(error_of(admin.emit_with_ack("x")), Disconnected)
    admin.emit("x")
    assert admin.buffered == 0
    hand.advance(60)
    assert hand.fetches == []
    assert hand.story() == []


def test_closing_gives_up_what_is_sent_again_and_again() -> None:
    hand = hand_sockets(retries=3, ack_timeout=2.0)
    socket = hand.join()
    answers = [socket.emit_with_ack("x"), socket.emit_with_ack("y")]
    socket.emit("z")
    hand.core.close()
    assert [type(error_of(each)) for each in answers] == 2 * [Disconnected]
    assert isinstance(error_of(socket.emit_with_ack("x")), Disconnected)
    socket.emit("x")
    assert socket.buffered == 0
    assert hand.story() == ["/ disconnected: io client disconnect"]


def test_cutting_off_waits_for_nobody() -> None:
    hand = hand_sockets()
    socket = hand.join()
    hand.block()
    socket.emit("x")
    hand.core.close()
    hand.settle()
    assert not hand.core.closed
    hand.core.cut_off()
    hand.settle()
    assert hand.core.closed
    assert hand.closed == hand.links
    assert hand.armed == 0


def test_a_client_that_was_never_connected_is_closed() -> None:
    hand = hand_sockets()
    assert hand.core.closed
    hand.core.close()
    hand.core.cut_off()
    assert hand.core.next_deadline() is None


def test_drained_is_called_when_nothing_waits() -> None:
    hand = hand_sockets()
    calls: list[str] = []
    hand.core.when_drained(lambda: calls.append("never connected"))
    socket = hand.join()
    hand.block()
    socket.emit("x")
    hand.core.when_drained(lambda: calls.append("taken"))
    hand.settle()
    assert calls == ["never connected"]
    hand.unblock()
    assert calls == ["never connected", "taken"]
    hand.block()
    socket.emit("x")
    hand.core.when_drained(lambda: calls.append("lost"))
    hand.lose()
    assert calls[-1] == "lost"


def test_commands_are_refused_where_the_core_does_not_live() -> None:
    class Refusing(EasyExit):
        def __enter__(self) -> None:
            if away:
                raise LocalProtocolError("another thread")

    away = False
    core = SocketClient(ORIGIN, EngineClientConfig(), ClientConfig(), make_environment(Clock()), guard=Refusing())
    socket = core.of("/")
    socket.connect()
    engine = core.engine
    assert engine is not None
    away = True
    for command in (
        socket.connect,
        socket.disconnect,
        lambda: socket.emit("x"),
        lambda: socket.emit_with_ack("x"),
        core.close,
        core.cut_off,
        engine.close,
    ):
        with pytest.raises(LocalProtocolError, match="another thread"):
            command()


# -- hostile servers


def test_a_server_that_floods_is_told_off_by_limits() -> None:
    hand = hand_sockets(max_payload=1000, max_arguments=3, max_event_name=5, max_depth=4)
    hand.join()
    for packet in (
        '42["x",1,2,3,4]',
        '42["longer"]',
        '42["x",[[[[1]]]]]',
        "42/" + 300 * "n" + ',["x"]',
        '429999999999999999["x"]',
    ):
        hand.say(packet)
        assert "parse error" in hand.story()[0], packet
        hand.advance(5)
        hand.open()
        hand.accept()
        hand.story()


def test_attachments_are_limited_in_number_and_bytes() -> None:
    hand = hand_sockets(max_attachments=2, max_payload=1000)
    hand.join()
    hand.say('453-["x"]')
    assert hand.story() == ["/ disconnected: parse error (too many attachments)"]
    hand.advance(1)
    hand.open()
    hand.accept()
    hand.story()
    hand.say('452-["x"]', 600 * b"a", 600 * b"a")
    assert hand.story() == ["/ disconnected: parse error (attachments too large)"]


def test_a_server_that_lets_in_and_throws_out_is_no_livelock() -> None:
    hand = hand_sockets()
    socket = hand.core.of("/")
    for _ in range(50):
        socket.connect()
        hand.settle()
        hand.open()
        hand.say('40{"sid":"one"}', "41", '40{"sid":"two"}', "41")
    assert hand.story() == 50 * ["/ connected", "/ disconnected: io server disconnect"]
    hand.advance(10)
    assert hand.core.closed
    assert hand.armed == 0


def test_a_server_that_ends_every_connection_is_not_hammered() -> None:
    hand = hand_sockets()
    hand.core.of("/").connect()
    hand.settle()
    attempts = 0
    began = hand.clock.now
    while hand.clock.now - began < 60:
        if hand.fetches:
            attempts += 1
            hand.open()
            hand.accept()
            hand.say("1")
        hand.advance(0.25)
    # No more often than one that cannot be reached: after 1, 2, 3.5 and then 3.75 seconds each.
    assert attempts == 18


def test_an_answer_to_a_request_of_a_former_connection_is_for_nobody() -> None:
    hand = hand_sockets()
    hand.core.of("/").connect()
    hand.settle()
    (fetch,) = hand.fetches
    hand.advance(20)
    assert fetch.dropped
    hand.core.receive_response(fetch, Response(101, [], b""))
    hand.core.receive_failure(fetch, "too late")
    hand.settle()
    assert isinstance(fetch, Fetch)
    hand.advance(1)
    hand.open()
    assert hand.take() == ["40"]


def test_options_are_checked() -> None:
    for options in ({"open_timeout": 0}, {"max_buffered": 0}, {"reconnection_delay": -1}, {"ack_timeout": 0}):
        with pytest.raises(OptionError):
            ClientConfig(**options)  # type: ignore[arg-type]  # wrong on purpose
