"""A client's connection from the first request to its end: opening, polling, WebSocket, heartbeat, closing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioproto import LocalProtocolError, OptionError, Response, SessionCookie
from sioproto.config import EngineClientConfig
from sioproto.engineio import (
    ClientState,
    CookieJar,
    EngineClient,
    EngineClosed,
    EngineOpened,
    MessageReceived,
    ObserverFailed,
    SessionClosed,
    parse_url,
)
from sioproto.frame import FRAME_COST
from sioproto.guard import EasyExit
from tests.engineio.pair import HANDSHAKE, URL, Lone, Pair
from tests.virtual import Clock, living, make_environment, payload

if TYPE_CHECKING:
    from sioproto.engineio import Fetch

BOTH = pytest.mark.parametrize("transport", ["polling", "websocket"])

OPEN = "0" + json.dumps(HANDSHAKE)


def lone(transport: str = "polling", **options: Any) -> Lone:
    """Returns a client whose connection is open over one transport, with no other to go to."""
    return Lone(transports=(transport,), **options).open()


def take(client: Lone) -> list[str | bytes]:
    """Returns the packets that are on their way to the server, and lets it take them."""
    if client.client.transport_name == "websocket":
        frames, client.frames = client.frames, []
        return frames
    packets: list[str | bytes] = []
    while client.client.polling.post is not None:
        packets += client.take_post()
    return packets


def bring(client: Lone, *packets: str | bytes) -> None:
    """The server sends packets over whichever transport there is."""
    if client.client.transport_name == "websocket":
        client.say(*packets)
    else:
        client.answer(*packets)


# -- opening


@BOTH
def test_a_connection_opens(transport: str) -> None:
    alone = Lone(transports=(transport,))
    client = alone.client
    assert (client.ready_state, client.open, client.id, client.transport_name) == ("opening", False, "", transport)
    assert alone.client.next_deadline() is None
    alone.begin()
    assert client.ready_state == "opening"
    assert not client.send("too early")
    alone.open(maxPayload=500)
    assert (client.ready_state, client.open, client.id, client.transport.name) == ("open", True, "abc", transport)
    assert (client.ping_interval, client.ping_timeout, client.server_max_payload) == (25.0, 20.0, 500)
    assert (client.upgraded, client.upgrading, client.writable, client.opened) == (False, False, True, True)
    assert [type(event) for event in alone.log] == [EngineOpened]
    assert alone.told(EngineOpened)[0].engine is client


def test_the_first_transport_decides_how_it_opens() -> None:
    assert [fetch.request.upgrade for fetch in Lone().begin().sent] == [False]
    assert [fetch.request.upgrade for fetch in Lone(transports=("websocket", "polling")).begin().sent] == [True]


def test_a_client_needs_a_transport() -> None:
    with pytest.raises(OptionError):
        EngineClientConfig(transports=())


def test_a_client_begins_once() -> None:
    alone = Lone().begin()
    with pytest.raises(LocalProtocolError, match="new EngineClient"):
        alone.client.begin()
    over = Lone()
    over.client.close()
    with pytest.raises(LocalProtocolError, match="new EngineClient"):
        over.client.begin()


@BOTH
def test_what_follows_the_handshake_is_not_lost(transport: str) -> None:
    alone = Lone(transports=(transport,)).open("4first", b"\x01")
    assert alone.heard == ["first", b"\x01"]
    assert isinstance(alone.log[0], EngineOpened)


@BOTH
@pytest.mark.parametrize(
    "first",
    [
        "4too early",
        "6",
        "3",
        "",
        "9",
        b"binary",
        "bAAA=",
        "0",
        "0{",
        "0null",
        "0[]",
        "0{}",
        "0" + json.dumps(HANDSHAKE | {"sid": ""}),
        "0" + json.dumps(HANDSHAKE | {"sid": 5}),
        "0" + json.dumps(HANDSHAKE | {"sid": "x" * 300}),
        "0" + json.dumps(HANDSHAKE | {"sid": "\ud800"}),
        "0" + json.dumps(HANDSHAKE | {"upgrades": None}),
        "0" + json.dumps(HANDSHAKE | {"pingInterval": -1}),
        "0" + json.dumps(HANDSHAKE | {"pingInterval": 0, "pingTimeout": 0}),
        "0" + json.dumps(HANDSHAKE | {"pingInterval": True}),
        "0" + json.dumps(HANDSHAKE | {"pingTimeout": -1}),
        "0" + json.dumps(HANDSHAKE | {"pingTimeout": "20000"}),
        "0" + json.dumps(HANDSHAKE | {"pingTimeout": 1e400}),
        "0" + json.dumps(HANDSHAKE | {"pingTimeout": 10**400}),
        "0" + json.dumps(HANDSHAKE | {"maxPayload": 0}),
        "0" + json.dumps(HANDSHAKE | {"pad": "x" * 20000}),
        "0" + "[" * 9000,
        "1",
    ],
)
def test_what_is_no_handshake_opens_nothing(transport: str, first: str | bytes) -> None:
    alone = Lone(transports=(transport,)).begin()
    if transport == "websocket":
        alone.accept()
        alone.say(first, "4more")
    else:
        alone.answer(first, "4more")
    assert alone.end is not None
    assert alone.end[0] == "transport error"
    assert [(type(event), event.opened) for event in alone.log] == [(EngineClosed, False)]
    assert alone.client.ready_state == "closed"
    assert len(alone.closed) == (transport == "websocket")


def test_a_server_may_leave_out_how_much_it_takes() -> None:
    handshake = {name: value for name, value in HANDSHAKE.items() if name != "maxPayload"}
    alone = Lone().begin().answer("0" + json.dumps(handshake | {"more": {}}))
    assert alone.client.open
    assert alone.client.server_max_payload is None


REFUSAL = b'{"code":4,"message":"members only"}'


@pytest.mark.parametrize(
    ("transport", "status", "body", "end", "refusal"),
    [
        ("polling", 403, REFUSAL, "xhr poll error 403", {"code": 4, "message": "members only"}),
        ("websocket", 403, REFUSAL, "websocket error 403", {"code": 4, "message": "members only"}),
        ("polling", 400, b'{"code":"0","message":"x","more":1}', "xhr poll error 400", {"code": "0", "message": "x"}),
        ("polling", 502, b"<html>", "xhr poll error 502", None),
        ("polling", 400, b"[]", "xhr poll error 400", None),
        ("polling", 400, b'{"code":1}', "xhr poll error 400", None),
        ("polling", 400, b'{"message":"x"}', "xhr poll error 400", None),
        ("polling", 400, b"[" * 4000, "xhr poll error 400", None),
        ("polling", 400, b'{"code":1,"message":"' + b"x" * 5000 + b'"}', "xhr poll error 400", None),
        ("polling", 400, b"\xff", "xhr poll error 400", None),
        ("polling", 101, b"", "xhr poll error 101", None),
        ("polling", 204, b"", "xhr poll error 204", None),
        ("websocket", 200, b"", "websocket error 200", None),
    ],
)
def test_a_refusal_is_told(transport: str, status: int, body: bytes, end: str, refusal: dict[str, Any] | None) -> None:
    alone = Lone(transports=(transport,)).begin()
    alone.respond(alone.sent[0], Response(status, [], body))
    assert alone.end == ("transport error", end)
    assert not alone.told(EngineClosed)[0].opened
    assert alone.client.refusal == refusal


def test_a_refusal_of_a_real_server_is_told() -> None:
    pair = Pair({"path": "/elsewhere"}).begin()
    assert pair.client.ready_state == "opening"  # it is for an application to answer, which has a limit of its own
    refused = Pair({"transports": ("websocket",)}, transports=("polling",)).begin()
    assert refused.client.refusal == {"code": 0, "message": "Transport unknown"}


@pytest.mark.parametrize(
    ("transport", "end"),
    [("polling", "xhr poll error: connection refused"), ("websocket", "websocket error: connection refused")],
)
def test_a_server_that_cannot_be_reached(transport: str, end: str) -> None:
    alone = Lone(transports=(transport,)).begin()
    alone.client.receive_failure(alone.sent[0], "connection refused")
    alone.settle()
    assert alone.end == ("transport error", end)
    assert not alone.client.opened


@pytest.mark.parametrize(
    ("error", "end"), [(None, "websocket connection closed"), ("broken", "websocket error: broken")]
)
def test_a_websocket_that_closes_before_the_handshake(error: str | None, end: str) -> None:
    alone = Lone(transports=("websocket",)).begin()
    alone.accept()
    assert alone.lose(error).end == ("transport error", end)
    assert not alone.told(EngineClosed)[0].opened


# -- trying all transports


def test_only_the_first_transport_is_tried() -> None:
    alone = Lone(transports=("websocket", "polling")).begin()
    alone.respond(alone.dialed, Response(400))
    assert alone.end is not None
    assert len(alone.sent) == 1


@pytest.mark.parametrize("failure", ["refused", "unreachable", "closed", "broken", "garbage", "goodbye"])
def test_all_transports_are_tried_if_that_is_wanted(failure: str) -> None:
    alone = Lone(transports=("websocket", "polling"), try_all_transports=True).begin()
    if failure == "refused":
        alone.respond(alone.dialed, Response(400))
    elif failure == "unreachable":
        alone.client.receive_failure(alone.dialed, "unreachable")
        alone.settle()
    else:
        alone.accept()
        if failure in ("closed", "broken"):
            alone.lose(None if failure == "closed" else "broken")
        else:
            alone.say("9" if failure == "garbage" else "1", "4more")
            assert alone.closed == alone.links
    assert alone.end is None
    assert alone.client.transport_name == "polling"
    alone.answer("0" + json.dumps(HANDSHAKE | {"upgrades": ["websocket"]}))
    assert alone.client.open
    # The one that failed is not tried again for an upgrade.
    assert not alone.client.upgrading


def test_the_last_transport_decides_how_it_ends() -> None:
    alone = Lone(try_all_transports=True).begin()
    alone.answer("4garbage", "4more")
    assert alone.client.state is ClientState.OPENING_WEBSOCKET
    alone.respond(alone.dialed, Response(403))
    assert alone.end == ("transport error", "websocket error 403")
    assert len(alone.sent) == 2


def test_a_failure_of_an_open_connection_tries_nothing() -> None:
    alone = Lone(try_all_transports=True).open()
    alone.answer(status=502)
    assert alone.end == ("transport error", "xhr poll error 502")


def test_other_transports_than_those_of_the_options() -> None:
    # What a client that remembers its last upgrade begins with.
    alone = Lone(transports=("websocket", "polling"), try_all_transports=True).begin()
    assert alone.client.config.transports == ("polling", "websocket")
    assert [fetch.request.upgrade for fetch in alone.sent] == [True]
    assert not alone.open(upgrades=["websocket"]).client.upgrading


# -- requests


def target(fetch: Fetch) -> tuple[str, list[tuple[str, str]]]:
    """Returns the path of a request, and its query in order, decoded."""
    return fetch.request.path, list(fetch.request.query.items())


def test_where_requests_go() -> None:
    alone = lone(query={"token": "a b&c=ü", "room": ""})
    alone.client.send("x")
    alone.settle()
    first, get, post = alone.sent
    assert first.request.target.startswith("/socket.io/?EIO=4&transport=polling&token=a%20b%26c%3D%C3%BC&room=&t=")
    own = [("EIO", "4"), ("transport", "polling"), ("token", "a b&c=ü"), ("room", "")]
    stamps = []
    for fetch, method, sid in ((first, "GET", []), (get, "GET", [("sid", "abc")]), (post, "POST", [("sid", "abc")])):
        path, query = target(fetch)
        stamps.append(query.pop(4))
        assert (fetch.request.method, path, query) == (method, "/socket.io/", own + sid)
    assert len(set(stamps)) == 3
    assert all(name == "t" for name, _ in stamps)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({}, "/socket.io/"),
        ({"add_trailing_slash": False}, "/socket.io"),
        ({"path": "/chat"}, "/chat/"),
        ({"path": "/chat/"}, "/chat/"),
        ({"path": "/chat/", "add_trailing_slash": False}, "/chat"),
    ],
)
def test_the_path_of_requests(options: dict[str, Any], path: str) -> None:
    assert target(Lone(**options).begin().sent[0])[0] == path


def test_the_protocol_s_own_names_are_not_for_the_query() -> None:
    mine = {"EIO": "3", "transport": "x", "sid": "x", "t": "x", "b64": "x", "mine": "1"}
    alone = Lone(query=mine, force_base64=True).begin()
    query = dict(target(alone.sent[0])[1])
    assert query.pop("t") != "x"
    assert query == {"EIO": "4", "transport": "polling", "mine": "1", "b64": "1"}
    # A parameter that is not sent is free.
    alone = Lone(query={"t": "x"}, timestamp_requests=False).begin()
    assert dict(target(alone.sent[0])[1])["t"] == "x"


@pytest.mark.parametrize(
    ("stamped", "param", "polling", "websocket"),
    [(None, "t", True, False), (True, "t", True, True), (False, "t", False, False), (None, "now", True, False)],
)
def test_which_requests_carry_a_time_stamp(stamped: bool | None, param: str, polling: bool, websocket: bool) -> None:
    alone = Lone(timestamp_requests=stamped, timestamp_param=param).open(upgrades=["websocket"])
    for fetch in alone.sent:
        wanted = websocket if fetch.request.upgrade else polling
        assert (param in fetch.request.query) == wanted
        assert ("t" in fetch.request.query) == (wanted and param == "t")


def test_time_stamps_differ_without_chance() -> None:
    def stamps() -> list[str]:
        alone = Lone().open()
        for _ in range(20):
            alone.answer("6")
        return [fetch.request.query["t"] for fetch in alone.sent]

    assert len(set(stamps())) == 22
    assert stamps() == stamps()
    later = Lone()
    later.clock.now += 0.001
    assert later.begin().sent[0].request.query["t"] not in stamps()


@pytest.mark.parametrize(
    ("url", "host", "secure"),
    [
        ("http://server.example", "server.example", False),
        ("https://server.example:8443", "server.example:8443", True),
        ("ws://[::1]:3000", "[::1]:3000", False),
    ],
)
def test_the_host_of_requests(url: str, host: str, secure: bool) -> None:
    request = Lone(url=parse_url(url)[0]).begin().sent[0].request
    assert request.headers == [("host", host)]
    assert request.secure == secure


def test_header_fields_of_requests() -> None:
    alone = Lone(
        extra_headers={"X-All": "1", "X-One": "all"},
        transport_headers={"polling": {"x-one": "polling"}, "websocket": {"X-One": "websocket", "Host": "other"}},
    ).open(upgrades=["websocket"])
    alone.client.send("x")
    alone.settle()
    plain = [("host", "server.example"), ("x-all", "1"), ("x-one", "polling")]
    found = {(fetch.request.method, fetch.request.upgrade): fetch.request.headers for fetch in alone.sent}
    assert found == {
        ("GET", False): plain,
        ("POST", False): [*plain, ("content-type", "text/plain;charset=UTF-8")],
        ("GET", True): [("host", "other"), ("x-all", "1"), ("x-one", "websocket")],
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("x y", "1"), ("", "1"), ("x:", "1"), ("ü", "1")],
        *[("x", "1\r\ny: 2"), ("x", "\0"), ("x", "\x01"), ("x", "\x7f"), ("x", "\u20ac"), ("x", 5)],
    ],
)
@pytest.mark.parametrize("option", ["extra_headers", "transport_headers"])
def test_what_is_no_header_field_is_refused(option: str, name: str, value: Any) -> None:
    options: dict[str, Any] = {option: {name: value} if option == "extra_headers" else {"websocket": {name: value}}}
    with pytest.raises(LocalProtocolError, match="header field"):
        Lone(**options)


@pytest.mark.parametrize(
    "options",
    [
        *[{"path": f"/a{each}b"} for each in (" ", "\r\nx: y", "?x=1&", "#", "ü", "\0", "\ud800", "\\", "<")],
        {"query": {"name": "\udc80"}},
        {"query": {"\udc80": "value"}},
        {"timestamp_param": "\ud800"},
    ],
)
def test_what_cannot_stand_in_a_target_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError, match=r"path is written|lone surrogate"):
        Lone(**options)


def test_subprotocols_are_offered() -> None:
    alone = Lone(subprotocols=("one", "two")).open(upgrades=["websocket"])
    assert [fetch.subprotocols for fetch in alone.sent if fetch.request.upgrade] == [("one", "two")]
    assert all(fetch.subprotocols == () for fetch in alone.sent if not fetch.request.upgrade)


@pytest.mark.parametrize("name", ["", "a b", "a,b", "ü", "\r\n"])
def test_what_is_no_subprotocol_is_refused(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="subprotocol"):
        Lone(subprotocols=("one", name))


@BOTH
def test_without_binary_everything_is_text(transport: str) -> None:
    alone = lone(transport, force_base64=True)
    assert all(fetch.request.query["b64"] == "1" for fetch in alone.sent)
    alone.client.send(b"\xff")
    alone.client.send("x")
    alone.settle()
    assert take(alone) == ["b/w==", "4x"]
    bring(alone, "b/w==")
    assert alone.heard == [b"\xff"]


def test_cookies_are_kept_only_if_that_is_wanted() -> None:
    for options in ({}, {"jar": CookieJar(Clock())}):
        alone = Lone(**options).begin()  # type: ignore[arg-type]  # the values differ
        alone.respond(alone.get, Response(200, [("Set-Cookie", "io=1")], OPEN.encode()))
        assert alone.sent[-1].request.header("cookie") is None


def test_cookies_come_back_with_every_request() -> None:
    clock = Clock()
    jar = CookieJar(clock)
    alone = Lone(cookie_jar=True, jar=jar, extra_headers={"Cookie": "mine=0"}).begin()
    assert alone.sent[0].request.header("cookie") == "mine=0"
    opened = "0" + json.dumps(HANDSHAKE | {"upgrades": ["websocket"]})
    alone.respond(alone.get, Response(200, [("Set-Cookie", "a=1; Max-Age=60"), ("set-cookie", "b=2")], opened.encode()))
    alone.client.send("x")
    alone.settle()
    for fetch in alone.sent[1:]:
        assert [value for name, value in fetch.request.headers if name == "cookie"] == ["mine=0; a=1; b=2"]
    assert {(fetch.request.method, fetch.request.upgrade) for fetch in alone.sent[1:]} == {
        ("GET", True),
        ("GET", False),
        ("POST", False),
    }
    # The next connection begins with them, if they are not over by then.
    clock.now += 61
    again = Lone(cookie_jar=True, jar=jar).begin()
    assert again.sent[0].request.header("cookie") == "b=2"


def test_a_jar_of_its_own_is_bounded() -> None:
    alone = Lone(cookie_jar=True, max_cookies=2).begin()
    alone.respond(alone.get, Response(200, [("Set-Cookie", f"c{n}=") for n in range(5)], OPEN.encode()))
    assert alone.sent[-1].request.header("cookie") == "c3=; c4="


def test_the_cookie_of_a_real_server_comes_back() -> None:
    pair = Pair({"cookie": SessionCookie(name="sid")}, cookie_jar=True, upgrade=False).begin()
    poll = pair.session.polling.poll
    assert poll is not None
    assert poll.request.header("cookie") == f"sid={pair.session.id}"


# -- messages


@BOTH
def test_messages_go_both_ways_in_order(transport: str) -> None:
    alone = lone(transport)
    bring(alone, "4one", b"\x00\x01", "4", "4ü", "bAg==")
    bring(alone, "4last")
    assert alone.heard == ["one", b"\x00\x01", "", "ü", b"\x02", "last"]
    for message in ("one", b"\x00", bytearray(b"\x02"), memoryview(b"\x03"), "", "ü"):
        assert alone.client.send(message)  # type: ignore[arg-type]
    alone.settle()
    alone.client.send("last")
    alone.settle()
    binary = ["bAA==", "bAg==", "bAw=="] if transport == "polling" else [b"\x00", b"\x02", b"\x03"]
    assert take(alone) == ["4one", *binary, "4", "4ü", "4last"]
    assert alone.client.queued == 0


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="int"):
        lone().client.send(5)  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="surrogate"):
        lone().client.send("a\ud800")


@BOTH
def test_a_real_server_and_a_client_understand_each_other(transport: str) -> None:
    pair = Pair(transports=(transport,)).begin()
    for side in (pair.client, pair.session):
        side.send("text ü")
        side.send(b"\x00\xff")
        side.send("")
    pair.settle()
    assert pair.heard == pair.server_heard == ["text ü", b"\x00\xff", ""]
    pair.advance(200)
    assert pair.client.open
    pair.client.send("still there")
    pair.settle()
    assert pair.server_heard[-1] == "still there"


@BOTH
def test_packets_that_mean_nothing_to_a_client(transport: str) -> None:
    alone = lone(transport)
    bring(alone, "0{}", "3", "3probe", "5", "6", "4after")
    assert alone.heard == ["after"]
    assert alone.client.id == "abc"


@BOTH
@pytest.mark.parametrize("packet", ["", "9", "x", "bnot base64!", "\u0664"])
def test_garbage_ends_the_connection_with_a_parse_error(transport: str, packet: str) -> None:
    alone = lone(transport)
    bring(alone, "4before", packet, "4behind")
    assert alone.end is not None
    assert alone.end[0] == "parse error"
    assert alone.heard == ["before"]
    assert alone.told(EngineClosed)[0].opened
    assert len(alone.closed) == (transport == "websocket")


@BOTH
def test_a_close_packet_ends_the_connection(transport: str) -> None:
    alone = lone(transport)
    bring(alone, "4before", "1", "4behind")
    assert alone.end == ("transport close", "closed by the server")
    assert alone.heard == ["before"]


@BOTH
def test_what_comes_after_the_end_is_ignored(transport: str) -> None:
    alone = lone(transport)
    alone.client.send("x")
    alone.client.close(discard=True)
    alone.settle()
    log = list(alone.log)
    for fetch in alone.sent:
        alone.client.receive_response(fetch, Response(200, [], b"4late"))
        alone.client.receive_failure(fetch, "late")
    for link in alone.links:
        alone.say("4late", link=link)
        alone.lose(link=link)
        alone.client.receive_blocked(link)
        alone.client.receive_unblocked(link)
    alone.client.pause()
    alone.client.resume()
    alone.client.close()
    alone.client.lose_network()
    alone.settle()
    assert alone.log == log
    assert not alone.client.send("late")
    assert not alone.client.write(())


# -- polling


def test_one_poll_at_a_time() -> None:
    alone = lone()
    assert [fetch.request.method for fetch in alone.sent] == ["GET", "GET"]
    for number in range(5):
        alone.answer(f"4{number}")
    assert [fetch.request.method for fetch in alone.sent] == ["GET"] * 7
    assert alone.get is alone.sent[-1]


def test_one_post_at_a_time() -> None:
    alone = lone()
    assert alone.client.writable
    for number in range(3):
        alone.client.send(str(number))
        alone.settle()
    assert not alone.client.writable
    assert alone.client.queued == 4
    assert alone.take_post() == ["40"]
    # What came meanwhile leaves together.
    assert alone.take_post() == ["41", "42"]
    assert alone.client.writable
    assert [fetch.request.method for fetch in alone.sent if fetch.request.method == "POST"] == ["POST", "POST"]


@pytest.mark.parametrize(
    ("messages", "limit", "posts"),
    [
        # Between two packets of a payload stands one separator.
        (["aaa", "aaa", "aaa"], 14, [3]),
        (["aaa", "aaa", "aaa"], 13, [2, 1]),
        (["üü", "üü"], 11, [2]),
        (["üü", "üü"], 10, [1, 1]),
        # Binary is as long as its base64 and a letter.
        ([b"xxxx", b"x"], 15, [2]),
        ([b"xxxx", b"x"], 14, [1, 1]),
        # One that is larger is sent all the same: the server is to say so.
        (["a", "b" * 100, "c"], 10, [1, 1, 1]),
        (["b" * 100, "c"], 10, [1, 1]),
        # Neither does one hold more packets than the strictest of servers takes.
        (["a"] * 35, None, [16, 16, 3]),
        (["a"] * 35, 1000, [16, 16, 3]),
    ],
)
def test_a_post_holds_no_more_than_the_server_takes(
    messages: list[str | bytes], limit: int | None, posts: list[int]
) -> None:
    alone = Lone().open(maxPayload=limit)
    for message in messages:
        alone.client.send(message)
    alone.settle()
    for number in posts:
        body = alone.post.body
        assert len(alone.take_post()) == number
        assert limit is None or number == 1 or len(body) <= limit
    assert alone.client.polling.post is None
    assert alone.client.queued == 0


def test_a_post_may_hold_more_packets_where_the_program_says_so() -> None:
    alone = Lone(max_post_packets=1000).open()
    for _ in range(500):
        alone.client.send("a")
    alone.settle()
    assert alone.take_post() == ["4a"] * 500


# A separator in a text would be one to the server as well: the protocol has no way to write it.
TEXTS = st.text(st.characters(exclude_characters="\x1e", exclude_categories=["Cs"]), max_size=9)


@given(st.lists(TEXTS | st.binary(max_size=9), max_size=20), st.integers(1, 40))
def test_posts_hold_everything_once_and_in_order(messages: list[str | bytes], limit: int) -> None:
    alone = Lone().open(maxPayload=limit)
    for message in messages:
        alone.client.send(message)
    alone.settle()
    packets: list[str | bytes] = []
    while alone.client.polling.post is not None:
        body = alone.post.body
        taken = alone.take_post()
        assert len(taken) == 1 or len(body) <= limit
        packets += taken
    assert payload(*packets) == payload(*("4" + each if isinstance(each, str) else each for each in messages))


def test_a_websocket_takes_everything_at_once() -> None:
    alone = Lone(transports=("websocket",)).open(maxPayload=5)
    for _ in range(9):
        alone.client.send("x" * 100)
    alone.settle()
    assert len(alone.frames) == 9


@pytest.mark.parametrize("status", [201, 204, 400, 404, 413, 500])
def test_a_poll_that_is_refused_ends_the_connection(status: int) -> None:
    alone = lone()
    alone.respond(alone.get, Response(status, [], b'{"code":1,"message":"Session ID unknown"}'))
    assert alone.end == ("transport error", f"xhr poll error {status}")
    assert alone.client.refusal == {"code": 1, "message": "Session ID unknown"}


@pytest.mark.parametrize("status", [201, 400, 413, 500])
def test_a_post_that_is_refused_ends_the_connection(status: int) -> None:
    alone = lone()
    alone.client.send("x")
    alone.settle().take_post(status)
    assert alone.end == ("transport error", f"xhr post error {status}")
    assert alone.dropped == [alone.sent[1]]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_that_is_lost_ends_the_connection(method: str) -> None:
    alone = lone()
    alone.client.send("x")
    alone.settle()
    alone.client.receive_failure(alone.get if method == "GET" else alone.post, "reset")
    alone.settle()
    assert alone.end == ("transport error", f"xhr {'poll' if method == 'GET' else 'post'} error: reset")
    assert [fetch.request.method for fetch in alone.dropped] == ["POST" if method == "GET" else "GET"]


def test_requests_have_no_time_of_their_own() -> None:
    alone = lone()
    alone.client.send("x")
    alone.settle().advance(44.9)
    assert alone.client.open


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_that_takes_too_long_ends_the_connection(method: str) -> None:
    alone = lone(request_timeout=10.0)
    alone.client.send("x")
    alone.settle()
    alone.advance(9)
    # The other one is a new one by then.
    if method == "GET":
        alone.take_post()
    else:
        alone.answer("6")
    alone.advance(0.9)
    assert alone.client.open
    late = alone.get if method == "GET" else alone.post
    alone.advance(0.1)
    assert alone.end == ("transport error", f"xhr {'poll' if method == 'GET' else 'post'} error: timeout")
    assert late in alone.dropped


def test_a_handshake_that_takes_too_long_gives_way() -> None:
    alone = Lone(request_timeout=10.0, try_all_transports=True).begin().advance(10)
    assert alone.dropped == alone.sent[:1]
    assert alone.open().client.transport_name == "websocket"


def test_a_payload_of_many_packets_is_decoded_in_slices() -> None:
    alone = lone(decode_slice=100)
    alone.client.receive_response(alone.get, Response(200, [], payload(*["4x"] * 250)))
    assert len(alone.client.events()) == 100
    # The rest has its turn at once, but others have theirs before.
    assert alone.wakes
    assert alone.client.next_deadline() == alone.clock.now
    assert alone.client.polling.get is None
    alone.client.handle_timeout()
    assert len(alone.client.events()) == 100
    alone.client.handle_timeout()
    assert len(alone.client.events()) == 50
    alone.settle()
    assert alone.get is alone.sent[-1]
    assert alone.client.next_deadline() == alone.clock.now + 45


@pytest.mark.parametrize("how", ["discard", "close", "network"])
def test_an_end_between_two_slices_drops_the_rest(how: str) -> None:
    alone = lone(decode_slice=10)
    alone.client.receive_response(alone.get, Response(200, [], payload(*["4x"] * 25)))
    if how == "network":
        alone.client.lose_network()
    else:
        alone.client.close(discard=how == "discard")
    alone.settle().advance(60)
    assert len(alone.heard) == 10
    assert alone.end is not None


def test_packets_other_than_messages_are_limited() -> None:
    alone = lone(max_control_packets=3)
    alone.answer(*["6"] * 3, *["4x"] * 1000).advance(0)
    assert len(alone.heard) == 1000
    alone.answer(*["6"] * 4, "4behind")
    assert alone.end is not None
    assert alone.end[0] == "parse error"
    assert len(alone.heard) == 1000


@pytest.mark.parametrize("body", [b"", b"\xff", b"4a\x1e", b"\x1e4a"])
def test_a_payload_that_is_none(body: bytes) -> None:
    alone = lone()
    alone.respond(alone.get, Response(200, [], body))
    assert alone.end is not None
    assert alone.end[0] == "parse error"


# -- websocket


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (None, ("transport close", "websocket connection closed")),
        ("broken frame", ("transport error", "websocket error: broken frame")),
    ],
)
def test_a_websocket_that_is_lost_ends_the_connection(error: str | None, end: tuple[str, str]) -> None:
    assert lone("websocket").lose(error).end == end


def test_a_blocked_websocket_holds_what_is_sent() -> None:
    alone = lone("websocket")
    alone.client.receive_blocked(alone.link)
    assert not alone.client.writable
    alone.client.send("held")
    alone.settle()
    assert (alone.frames, alone.client.queued) == ([], 5)
    alone.client.receive_unblocked(alone.link)
    assert alone.settle().frames == ["4held"]
    assert alone.client.writable


def test_messages_of_one_batch_after_a_close_packet_are_dropped() -> None:
    alone = lone("websocket")
    alone.client.receive_messages(alone.link, ["4a", "1", "4b", b"c"])
    assert alone.settle().heard == ["a"]


def test_compression_is_the_sender_s_choice() -> None:
    alone = lone("websocket")
    alone.client.send("packed")
    alone.client.send(b"plain", compress=False)
    (link,) = alone.client.take_dirty()
    assert link is alone.link
    assert [frame.compress for frame in alone.link.take()] == [True, False]


# -- what waits


def test_a_drain_is_told_when_the_transport_took_all() -> None:
    alone = lone()
    calls: list[int] = []
    alone.client.when_drained(lambda: calls.append(0))
    assert calls == [0]  # nothing waits
    alone.client.send("one")
    alone.client.when_drained(lambda: calls.append(1))
    assert calls == [0]
    alone.settle()
    assert calls == [0, 1]
    alone.client.send("two")
    alone.settle()
    alone.client.when_drained(lambda: calls.append(2))
    assert calls == [0, 1]
    alone.take_post()
    assert calls == [0, 1, 2]


@BOTH
def test_a_drain_is_told_at_the_end(transport: str) -> None:
    alone = lone(transport)
    calls: list[int] = []
    for number in range(2):
        alone.client.send("x")
        alone.client.when_drained(lambda number=number: calls.append(number))  # type: ignore[misc]  # mypy and defaults
    alone.client.close(discard=True)
    assert calls == [0, 1]


@BOTH
@pytest.mark.parametrize("ends", [True, False])
def test_whoever_waits_for_a_drain_and_fails_stops_nobody(transport: str, ends: bool) -> None:
    alone = lone(transport).open()
    calls: list[str] = []
    alone.client.send("x")
    alone.client.when_drained(lambda: 1 / 0)
    alone.client.when_drained(lambda: calls.append("drained"))
    if ends:
        alone.client.close(discard=True)
    alone.settle()
    assert calls == ["drained"]
    assert [(type(event.error), event.where) for event in alone.told(ObserverFailed)] == [(ZeroDivisionError, "drain")]
    assert (alone.end is not None) == ends


def test_whoever_waits_for_a_drain_may_send() -> None:
    alone = lone("websocket")
    left = [3]

    def more() -> None:
        if left[0]:
            left[0] -= 1
            alone.client.send("more")
            alone.client.when_drained(more)

    more()
    alone.settle()
    assert alone.frames == ["4more"] * 3


def test_a_server_that_takes_no_more_is_given_up() -> None:
    alone = lone(max_send_buffer=100 + 10 * FRAME_COST)
    alone.client.send("in hand")
    alone.settle()
    for _ in range(9):
        alone.client.send("x" * 9)
        alone.settle()
    assert alone.client.queued == 90
    alone.client.send("x" * 10)
    alone.settle()
    assert alone.end == ("transport error", "send buffer is full")


def test_a_blocked_websocket_is_given_up_within_one_turn() -> None:
    alone = lone("websocket", max_send_buffer=100, drain_mark=50)
    alone.client.receive_blocked(alone.link)
    for _ in range(101):
        alone.client.send("")
    assert not alone.client.open
    assert alone.settle().end == ("transport error", "send buffer is full")


def test_a_server_that_pings_and_reads_nothing_is_given_up() -> None:
    alone = lone("websocket", max_send_buffer=100 * FRAME_COST)
    alone.client.receive_blocked(alone.link)
    for _ in range(99):
        alone.say("2")
    assert alone.client.open
    alone.say("2")
    assert alone.end == ("transport error", "send buffer is full")


def test_a_burst_is_no_slow_server() -> None:
    alone = Lone(max_send_buffer=100 + FRAME_COST, drain_mark=50).open(maxPayload=50)
    for number in range(100):
        alone.client.send(f"{number:09}")
    alone.settle()
    # While it goes, more may come on top of it, up to the limit.
    alone.client.send("x" * 99)
    alone.settle()
    for _ in range(10):
        alone.take_post()
    assert alone.client.open
    alone.client.send("x")
    alone.settle()
    assert alone.end == ("transport error", "send buffer is full")


def test_a_long_burst_leaves_whole() -> None:
    alone = Lone(max_send_buffer=100).open(maxPayload=50)
    for number in range(100):
        alone.client.send(f"{number:09}")
    alone.settle()
    assert take(alone) == [f"4{number:09}" for number in range(100)]
    assert alone.client.open


def test_much_in_one_turn_is_drained_at_once() -> None:
    alone = lone("websocket", drain_mark=50)
    alone.client.send("x" * 60)
    assert alone.wakes == [False, True]
    polling = lone(drain_mark=50)
    polling.client.send("x" * 60)
    # A POST takes no more now than later, so there is no hurry.
    assert polling.wakes == [False]


# -- pausing


def test_a_paused_websocket_is_not_read_from() -> None:
    alone = lone("websocket")
    alone.client.pause()
    alone.settle()
    assert not alone.link.reading
    alone.advance(1000)
    assert alone.client.open
    # What was read already is taken; a ping among it changes nothing.
    alone.say("4read already", "2")
    assert alone.heard == ["read already"]
    alone.client.resume()
    alone.settle()
    assert alone.link.reading
    alone.advance(44.9)
    assert alone.client.open
    assert alone.advance(0.1).end == ("ping timeout", None)


def test_a_paused_client_does_not_decode_nor_poll() -> None:
    alone = lone(decode_slice=2)
    alone.client.receive_response(alone.get, Response(200, [], payload("41", "42", "43", "44", "45")))
    alone.client.pause()
    alone.settle().advance(1000)
    assert alone.heard == ["1", "2"]
    alone.client.resume()
    alone.client.pause()
    alone.client.resume()
    alone.settle().advance(0)
    assert alone.heard == ["1", "2", "3", "4", "5"]
    alone.client.pause()
    alone.answer("46")
    number = len(alone.sent)
    alone.advance(1000)
    assert alone.heard[-1] == "5"
    assert len(alone.sent) == number
    alone.client.resume()
    alone.settle().advance(0)
    assert alone.heard[-1] == "6"
    assert len(alone.sent) == number + 1


def test_a_paused_client_may_send_late() -> None:
    alone = lone()
    alone.client.pause()
    alone.advance(1000)
    assert not alone.client.expired
    assert alone.client.send("x")
    alone.settle()
    assert alone.take_post() == ["4x"]


@BOTH
def test_closing_reads_again(transport: str) -> None:
    alone = lone(transport)
    alone.client.pause()
    alone.client.resume()  # which does nothing on a client that listens
    alone.client.resume()
    alone.client.pause()
    alone.settle()
    alone.client.close()
    alone.settle()
    assert not alone.client.paused
    assert all(link.reading for link in alone.links)


# -- heartbeat


@BOTH
def test_a_ping_is_answered(transport: str) -> None:
    alone = lone(transport)
    bring(alone, "2")
    assert take(alone) == ["3"]
    bring(alone, "2", "4x", "2")
    assert take(alone) == ["3", "3"]


@BOTH
def test_a_server_that_does_not_ping_is_gone(transport: str) -> None:
    alone = lone(transport)
    alone.advance(44.9)
    assert alone.client.open
    alone.advance(0.1)
    assert alone.end == ("ping timeout", None)
    assert len(alone.closed) == (transport == "websocket")


@BOTH
def test_each_ping_gives_the_server_its_time_once_more(transport: str) -> None:
    alone = lone(transport)
    for _ in range(5):
        alone.advance(40)
        bring(alone, "2")
        take(alone)
    alone.advance(44.9)
    assert alone.client.open
    assert alone.advance(0.1).end == ("ping timeout", None)


@BOTH
def test_other_packets_give_it_no_time(transport: str) -> None:
    alone = lone(transport)
    alone.advance(44.9)
    bring(alone, "4x", "6", "3", b"x")
    assert alone.advance(0.1).end == ("ping timeout", None)


@pytest.mark.parametrize(("interval", "timeout"), [(300, 200), (0, 500)])
def test_the_times_are_the_server_s(interval: int, timeout: int) -> None:
    alone = Lone().open(pingInterval=interval, pingTimeout=timeout)
    assert alone.client.next_deadline() == alone.clock.now + 0.5
    assert alone.advance(0.5).end == ("ping timeout", None)


@BOTH
def test_nothing_is_sent_after_a_sleep(transport: str) -> None:
    alone = lone(transport)
    alone.clock.now += 45.0
    assert not alone.client.expired
    alone.clock.now += 0.1
    # Nobody has handled a time-out since.
    assert alone.client.expired
    assert alone.client.open
    assert not alone.client.send("lost")
    assert not alone.client.open
    alone.settle()
    assert alone.end == ("ping timeout", None)
    assert take(alone) == []


def test_a_ping_that_was_read_before_the_time_out_counts() -> None:
    alone = lone("websocket")
    alone.clock.now += 60
    alone.say("2")
    assert alone.client.open
    assert alone.frames == ["3"]


@BOTH
def test_a_time_out_is_on_the_given_clock(transport: str) -> None:
    alone = lone(transport)
    assert alone.client.next_deadline() == alone.clock.now + 45
    alone.client.handle_timeout()  # too early
    assert alone.client.open
    assert alone.oversleep(1000).end == ("ping timeout", None)
    assert alone.client.next_deadline() is None


# -- the network is gone


@BOTH
@pytest.mark.parametrize("stage", ["opening", "open", "closing"])
def test_a_network_that_is_lost_ends_it_at_once(transport: str, stage: str) -> None:
    alone = Lone(transports=(transport,), try_all_transports=True).begin()
    if stage != "opening":
        alone.open()
    if stage == "closing":
        alone.client.send("x")
        if transport == "websocket":
            alone.client.receive_blocked(alone.link)
        alone.client.close()
        alone.settle()
    alone.client.lose_network()
    alone.settle()
    assert alone.end == ("transport error" if stage == "opening" else "transport close", "network connection lost")


# -- closing


@BOTH
def test_closing_before_it_is_open(transport: str) -> None:
    alone = Lone(transports=(transport,)).begin()
    alone.client.close()
    alone.settle()
    assert alone.end == ("forced close", None)
    assert not alone.told(EngineClosed)[0].opened
    assert alone.dropped == alone.sent
    # An answer that comes all the same is for nobody.
    alone.client.receive_response(alone.sent[0], Response(101 if transport == "websocket" else 200, [], OPEN.encode()))
    assert alone.sent[0].link is None


def test_closing_before_anybody_took_the_request() -> None:
    alone = Lone()
    alone.client.begin()
    alone.client.close()
    assert alone.settle().sent == []
    assert alone.end == ("forced close", None)


def test_closing_a_polling_connection_tells_the_server() -> None:
    alone = lone()
    poll = alone.get
    alone.client.close()
    alone.settle()
    assert alone.client.ready_state == "closing"
    assert not alone.client.send("too late")
    assert alone.post.body == b"1"
    # The server lets the poll go, which nobody cares about.
    alone.respond(poll, Response(200, [], b"6"))
    assert alone.client.ready_state == "closing"
    alone.take_post()
    assert alone.end == ("forced close", None)
    assert alone.told(EngineClosed)[0].opened
    assert alone.dropped == []


def test_closing_hands_over_what_was_sent_before() -> None:
    alone = Lone().open(maxPayload=5)
    for number in range(3):
        alone.client.send(f"{number}xx")
    alone.client.close()
    alone.settle()
    # The close packet comes by itself: servers take it before messages that came with it.
    bodies = []
    while alone.client.polling.post is not None:
        bodies.append(alone.post.body)
        assert alone.client.ready_state == "closing"
        alone.take_post()
    assert bodies == [b"40xx", b"41xx", b"42xx", b"1"]
    assert alone.end == ("forced close", None)


def test_closing_a_websocket_hands_over_what_was_sent_before() -> None:
    alone = lone("websocket")
    alone.client.send("last")
    alone.client.close()
    alone.settle()
    assert alone.frames == ["4last"]
    assert alone.closed == [alone.link]
    assert alone.link.close_code is None
    assert alone.end == ("forced close", None)


def test_closing_a_blocked_websocket_waits() -> None:
    alone = lone("websocket")
    alone.client.receive_blocked(alone.link)
    alone.client.send("last")
    alone.client.close()
    alone.settle()
    assert alone.client.ready_state == "closing"
    assert alone.closed == []
    alone.client.receive_unblocked(alone.link)
    alone.settle()
    assert alone.frames == ["4last"]
    assert alone.closed == [alone.link]
    assert alone.end == ("forced close", None)


@BOTH
def test_a_closing_connection_does_not_listen(transport: str) -> None:
    alone = lone(transport)
    alone.client.send("x")
    if transport == "websocket":
        alone.client.receive_blocked(alone.link)
    alone.client.close()
    alone.settle()
    bring(alone, "4late", b"late", "9", "2", "bnot base64!")
    assert alone.heard == []
    assert alone.end is None


@BOTH
@pytest.mark.parametrize("packets", [("1",), ("4late", "1")])
def test_a_server_that_closes_as_well_ends_it(transport: str, packets: tuple[str, ...]) -> None:
    alone = lone(transport)
    alone.client.send("x")
    if transport == "websocket":
        alone.client.receive_blocked(alone.link)
    alone.client.close()
    alone.settle()
    bring(alone, *packets)
    assert alone.end == ("forced close", None)


@pytest.mark.parametrize("stage", ["data", "goodbye"])
@pytest.mark.parametrize("failure", ["refused", "lost", "poll refused"])
def test_requests_that_fail_while_closing(stage: str, failure: str) -> None:
    alone = lone()
    if stage == "data":
        alone.client.send("x")
    alone.client.close()
    alone.settle()
    if failure == "refused":
        alone.take_post(400)
    elif failure == "lost":
        alone.client.receive_failure(alone.post, "reset")
        alone.settle()
    else:
        # Nothing is expected of a poll any more; the POST is still awaited.
        alone.answer(status=400)
        assert alone.end is None
        while alone.client.polling.post is not None:
            alone.take_post()
    assert alone.end == ("forced close", None)


@pytest.mark.parametrize("error", [None, "broken"])
def test_a_websocket_that_is_lost_while_closing(error: str | None) -> None:
    alone = lone("websocket")
    alone.client.receive_blocked(alone.link)
    alone.client.close()
    assert alone.lose(error).end == ("forced close", None)


@BOTH
def test_closing_takes_a_bounded_time(transport: str) -> None:
    alone = lone(transport, close_timeout=3.0)
    alone.client.send("x")
    if transport == "websocket":
        alone.client.receive_blocked(alone.link)
    alone.client.close()
    alone.settle().advance(2.9)
    assert alone.client.ready_state == "closing"
    alone.advance(0.1)
    assert alone.end == ("forced close", None)
    assert len(alone.dropped) == (2 if transport == "polling" else 0)
    assert len(alone.closed) == (transport == "websocket")


@BOTH
@pytest.mark.parametrize("closing", [False, True])
def test_discarding_ends_it_at_once(transport: str, closing: bool) -> None:
    alone = lone(transport)
    if transport == "websocket":
        alone.client.receive_blocked(alone.link)
    alone.client.send("dropped")
    if closing:
        alone.client.close()
        alone.settle()
    alone.client.close(discard=True)
    assert alone.client.ready_state == "closed"
    alone.settle()
    assert alone.end == ("forced close", None)
    assert alone.frames == []


@BOTH
def test_a_real_server_learns_of_a_close(transport: str) -> None:
    pair = Pair(transports=(transport,)).begin()
    pair.client.send("last")
    pair.client.close()
    pair.settle()
    assert [event.data for event in pair.told(MessageReceived)] == ["last"]
    assert [event.reason for event in pair.told(SessionClosed)] == ["transport close"]
    assert [event.reason for event in pair.told(EngineClosed)] == ["forced close"]
    assert living(pair.server.timers) == living(pair.client.timers) == {}


@BOTH
@pytest.mark.parametrize("discard", [False, True])
def test_a_client_learns_of_a_close_of_a_real_server(transport: str, discard: bool) -> None:
    pair = Pair(transports=(transport,)).begin()
    pair.session.send("last")
    pair.session.close(discard)
    pair.settle()
    assert pair.heard == ([] if discard else ["last"])
    assert [event.reason for event in pair.told(EngineClosed)] == ["transport close"]
    assert living(pair.server.timers) == living(pair.client.timers) == {}


# -- observers


def watch(client: EngineClient) -> list[tuple[Any, ...]]:
    """Returns the list that everything is noted in which happens to a client."""
    seen: list[tuple[Any, ...]] = []

    def note(event: str) -> None:
        client.on(event, lambda *args: seen.append((event, *args)))

    for event in ("packet", "packet_create", "drain", "heartbeat", "close"):
        note(event)
    client.on("flush", lambda frames: seen.append(("flush", *(frame.data for frame in frames))))
    return seen


@BOTH
def test_observers_see_things_in_place(transport: str) -> None:
    alone = Lone(transports=(transport,))
    seen = watch(alone.client)
    alone.open()
    assert seen == [("packet", "open", OPEN[1:])]
    seen.clear()
    bring(alone, "4in", b"\x00", "6", "2")
    assert seen == [
        ("packet", "message", "in"),
        ("packet", "message", b"\x00"),
        ("packet", "noop", ""),
        ("packet", "ping", ""),
        ("packet_create", "pong", ""),
        ("heartbeat",),
        ("flush", "3"),
        ("drain",),
    ]
    take(alone)
    seen.clear()
    alone.client.send("out")
    alone.client.send(b"\x00")
    assert seen == [("packet_create", "message", "out"), ("packet_create", "message", b"\x00")]
    alone.settle()
    assert seen[2:] == [("flush", "4out", b"\x00"), ("drain",)]
    seen.clear()
    bring(alone, "1")
    assert seen == [("packet", "close", ""), ("close", "transport close", "closed by the server")]


def test_a_drain_is_seen_when_the_last_post_left() -> None:
    alone = Lone().open(maxPayload=5)
    seen = watch(alone.client)
    alone.client.send("aaaa")
    alone.client.send("bbbb")
    alone.settle()
    assert seen[2:] == [("flush", "4aaaa")]
    alone.take_post()
    assert seen[3:] == [("flush", "4bbbb"), ("drain",)]


def test_observers_of_the_end_see_what_was_never_sent() -> None:
    alone = lone()
    left: list[Any] = []
    alone.client.on("close", lambda: left.extend(frame.data for frame in alone.client.outbox.frames))
    alone.client.send("never")
    alone.client.close(discard=True)
    assert left == ["4never"]
    assert alone.client.outbox.frames == []


def test_an_observer_that_raises_stops_nobody() -> None:
    alone = lone()
    error = ValueError("mine")

    @alone.client.once("packetCreate")
    def fail(*_: Any) -> None:
        raise error

    assert alone.client.send("x")
    assert alone.client.send("y")
    alone.settle()
    assert [(event.error, event.where) for event in alone.told(ObserverFailed)] == [(error, "packet_create")]
    assert alone.take_post() == ["4x", "4y"]


@BOTH
@pytest.mark.parametrize("message", ["4text", b"binary"])
def test_nothing_follows_an_end_that_an_observer_brought_about(transport: str, message: str | bytes) -> None:
    alone = lone(transport)
    alone.client.on("packet", lambda: alone.client.close(discard=True))
    if transport == "polling":
        alone.answer(message, "4more")
    else:
        alone.say(message, "4more")
    assert isinstance(alone.log[-1], EngineClosed)
    assert alone.heard == []


def test_observers_have_names_and_may_leave() -> None:
    client = lone().client
    with pytest.raises(LocalProtocolError, match="upgrade_error"):
        client.on("nonsense", print)
    seen: list[Any] = []
    client.on("packet_create", seen.append)
    client.off("packetCreate", seen.append)
    client.send("x")
    assert seen == []


# -- where commands come from


@BOTH
def test_no_text_shows_what_is_secret(transport: str) -> None:
    options: dict[str, Any] = {"query": {"token": "hidden"}, "extra_headers": {"authorization": "hidden"}}
    alone = Lone(transports=(transport,), cookie_jar=True, **options).open(sid="hidden")
    client = alone.client
    client.send('0{"token":"hidden"}')
    frames = client.outbox.frames
    things: list[Any] = [client, client.config, client.transport, alone.link if alone.links else None, *frames]
    alone.settle()
    packet = '40{"sid":"one","pid":"hidden"}'
    if transport == "polling":
        alone.respond(alone.get, Response(200, [("set-cookie", "name=hidden")], payload(packet)))
    else:
        alone.say(packet)
    things += [*alone.sent, *(fetch.request for fetch in alone.sent), *alone.log]
    alone.client.close(discard=True)
    alone.settle()
    texts = [*map(repr, things), *map(repr, alone.log)]
    assert len(texts) > 8
    assert [text for text in texts if "hidden" in text] == []


def test_commands_come_from_where_the_core_lives() -> None:
    class Elsewhere(Exception):
        pass

    class Refusing(EasyExit):
        def __enter__(self) -> None:
            raise Elsewhere

    client = EngineClient(URL, EngineClientConfig(), make_environment(Clock()), guard=Refusing())
    for command in (client.begin, lambda: client.send("x"), client.close, client.lose_network):
        with pytest.raises(Elsewhere):
            command()
