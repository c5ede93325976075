"""The packet codec as a session meets it, row by row (SC-01 to SC-13)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sioproto import LocalProtocolError
from sioproto.socketio import PacketType
from tests.parity.scene import Client, Scene

P0 = '{"_placeholder":true,"num":0}'
P1 = '{"_placeholder":true,"num":1}'


class Receiver:
    """A client whose event ``e`` is written down."""

    def __init__(self, **options: Any) -> None:
        self.scene = Scene(**options)
        self.events: list[Any] = []
        self.errors: list[str] = []
        self.reasons: list[str] = []
        self.scene.io.on_any(lambda socket, event, *args: self.events.append((event, *args)))
        self.scene.io.on("error", lambda socket, error: self.errors.append(str(error)))
        self.scene.io.on("disconnect", lambda socket, reason: self.reasons.append(reason))
        self.client: Client = self.scene.client()

    def refuses(self, *messages: str | bytes, error: str) -> None:
        """Asserts that a session ends over this, with an error that tells nothing of the content."""
        self.client.send(*messages, '2["after"]')
        assert self.events == []
        assert self.errors == [error]
        assert self.reasons == ["forced close"]
        assert self.client.take() == []
        assert self.client.closed


def test_sc_01_types() -> None:
    names = ["CONNECT", "DISCONNECT", "EVENT", "ACK", "CONNECT_ERROR", "BINARY_EVENT", "BINARY_ACK"]
    assert {each.name: each.value for each in PacketType} == {name: value for value, name in enumerate(names)}


def test_sc_02_the_string_form() -> None:
    scene = Scene()
    alice = scene.client()
    alice.connect("/admin")
    for _ in range(13):
        scene.admin.next_ack_id()
    alice.at("/admin").emit_with_ack("e", b"\x01", {"a": [1.5, "é\n", None]})
    alice.at("/admin").emit("e", {"b": b"\x02"})
    assert alice.take() == [
        '51-/admin,13["e",{"_placeholder":true,"num":0},{"a":[1.5,"é\\n",null]}]',
        b"\x01",
        '51-/admin,["e",{"b":{"_placeholder":true,"num":0}}]',
        b"\x02",
    ]


@pytest.mark.parametrize("value", [b"\x01", bytearray(b"\x01"), memoryview(b"\x01")])
def test_sc_03_binary_is_found_wherever_it_is(value: Any) -> None:
    scene = Scene()
    alice = scene.client()
    scene.io.on("ask", lambda socket: {"deep": [value]})
    alice.socket.emit("e", {"deep": ({"er": value},)})
    alice.send('27["ask"]')
    assert alice.take() == [f'51-["e",{{"deep":[{{"er":{P0}}}]}}]', b"\x01", f'61-7[{{"deep":[{P0}]}}]', b"\x01"]


def test_sc_03_what_json_does_not_know_is_refused_at_once() -> None:
    scene = Scene()
    with pytest.raises(LocalProtocolError):
        scene.io.emit("e", datetime(2026, 11, 23, tzinfo=UTC))


def test_sc_04_attachments_are_numbered_depth_first() -> None:
    scene = Scene()
    alice = scene.client()
    alice.socket.emit("e", {"a": [b"0"], "b": b"1"}, b"2")
    header, *attachments = alice.take()
    assert json.loads(str(header)[3:]) == [
        "e",
        {"a": [{"_placeholder": True, "num": 0}], "b": {"_placeholder": True, "num": 1}},
        {"_placeholder": True, "num": 2},
    ]
    assert attachments == [b"0", b"1", b"2"]


@pytest.mark.parametrize(
    ("packet", "error"),
    [
        ("7", "unknown packet type"),
        ("", "unknown packet type"),
        ('5["e"]', "illegal attachments"),
        ('5-["e"]', "illegal attachments"),
        ('5x-["e"]', "illegal attachments"),
        ('5-1-["e"]', "illegal attachments"),
        ('50-["e"]', "illegal attachments"),
        ('511-["e"]', "too many attachments"),
    ],
)
def test_sc_05_type_and_number_of_attachments(packet: str, error: str) -> None:
    Receiver().refuses(packet, error=error)


def test_sc_05_ten_attachments_are_fine() -> None:
    receiver = Receiver()
    placeholders = ",".join(f'{{"_placeholder":true,"num":{number}}}' for number in range(10))
    receiver.client.send(f'510-["e",{placeholders}]', *(bytes([number]) for number in range(10)))
    assert receiver.events == [("e", *(bytes([number]) for number in range(10)))]


def test_sc_06_the_namespace_is_taken_as_it_stands() -> None:
    scene = Scene()
    scene.io.of("/foo")
    alice = scene.client("/foo")
    alice.send("0/foo?x=1,")
    assert alice.take() == ['4/foo?x=1,{"message":"Invalid namespace"}']


def test_sc_07_acknowledgement_ids_are_exact() -> None:
    receiver = Receiver()
    receiver.scene.io.on("e", lambda socket: "yes")
    receiver.client.send('2999999999999999["e"]')
    assert receiver.client.take() == ['3999999999999999["yes"]']
    receiver = Receiver()
    receiver.refuses('21000000000000000["e"]', error="invalid acknowledgement id")


@pytest.mark.parametrize(
    "packet",
    ["2", "3", "21", '2"e"', "2{}", "2[]", "2[null]", "2[[]]", '2["e"', '11{"a":1}', "3{}", "1x", '2["e"]x'],
)
def test_sc_08_a_payload_has_the_shape_of_its_type(packet: str) -> None:
    receiver = Receiver()
    receiver.client.send(packet, '2["after"]')
    assert receiver.events == []
    assert len(receiver.errors) == 1
    assert receiver.reasons == ["forced close"]


def test_sc_08_an_event_may_be_named_by_a_number() -> None:
    receiver = Receiver()
    receiver.client.send('2[5,"a"]')
    assert receiver.events == [("5", "a")]


@pytest.mark.parametrize(
    "event", ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]
)
def test_sc_09_reserved_names_are_refused(event: str) -> None:
    Receiver().refuses(f'2["{event}"]', error="reserved event name")


def test_sc_09_other_names_pass() -> None:
    receiver = Receiver()
    receiver.client.send('2["error"]', '2["connection"]', '2["message"]')
    assert receiver.events == [("error",), ("connection",), ("message",)]
    assert receiver.errors == []


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ((f'51-["e",{P0}]', '2["e"]'), "got plaintext data when reconstructing a packet"),
        ((b"\x01",), "got binary data when not reconstructing a packet"),
        ((f'51-["e",{P1}]', b"\x01"), "illegal attachments"),
        (('51-["e",{"_placeholder":true,"num":-1}]', b"\x01"), "illegal attachments"),
        (('51-["e",{"_placeholder":true,"num":"0"}]', b"\x01"), "illegal attachments"),
        (('51-["e",{"_placeholder":true,"num":true}]', b"\x01"), "illegal attachments"),
    ],
)
def test_sc_10_attachments_come_when_they_are_due(messages: tuple[str | bytes, ...], error: str) -> None:
    Receiver().refuses(*messages, error=error)


def test_sc_10_a_packet_of_another_namespace_does_not_come_between_either() -> None:
    receiver = Receiver()
    receiver.client.connect("/admin")
    receiver.refuses(f'51-["e",{P0}]', '2/admin,["e"]', error="got plaintext data when reconstructing a packet")


def test_sc_11_any_error_ends_all_sockets_of_the_session_with_forced_close() -> None:
    receiver = Receiver()
    reasons: list[str] = []
    receiver.scene.admin.on("disconnect", lambda socket, reason: reasons.append(reason))
    bob = receiver.scene.client()
    receiver.client.connect("/admin")
    receiver.refuses("9", error="unknown packet type")
    assert reasons == ["forced close"]
    assert bob.socket.connected


def test_sc_12_only_real_placeholders_are_replaced() -> None:
    receiver = Receiver()
    receiver.client.send(f'52-["e",{P0},{P0},{{"_placeholder":1,"num":1}}]', b"0", b"1")
    assert receiver.events == [("e", b"0", b"0", {"_placeholder": 1, "num": 1})]
    receiver.client.send(f'2["e",{P0}]')
    assert receiver.events[1:] == [("e", {"_placeholder": True, "num": 0})]


def test_sc_13_loads_and_dumps_may_be_replaced() -> None:
    def loads(text: str) -> Any:
        return json.loads(text, parse_float=lambda number: f"exactly {number}")

    def dumps(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"), default=str)

    receiver = Receiver(loads=loads, dumps=dumps)
    receiver.client.send('2["e",0.1]')
    assert receiver.events == [("e", "exactly 0.1")]
    receiver.client.socket.emit("e", 1 + 2j)
    assert receiver.client.take() == ['2["e","(1+2j)"]']


def test_sc_13_the_number_of_attachments_is_an_option() -> None:
    receiver = Receiver(max_attachments=1)
    receiver.refuses('52-["e"]', error="too many attachments")
