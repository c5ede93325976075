"""What the stock JavaScript client sees of our server and of Node.js's, in one run of the same script.

The two must see the same, but for what is different on purpose: that is spelled out here, both sides of it.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.interop.parity_app import build

if TYPE_CHECKING:
    from tests.peers import Node

TRANSPORTS = ("websocket", "polling")
Seen = dict[str, Any]


def play(node: Node, port: str | int, transport: str) -> Seen:
    """Runs the client's script."""
    done = node.run("parity_client.mjs", f"http://127.0.0.1:{port}", transport, timeout=600.0)
    seen: Seen = json.loads(done.stdout)
    return seen


async def ours(node: Node, transport: str) -> Seen:
    async with build().listening("127.0.0.1", 0) as io:
        return await asyncio.to_thread(play, node, io.addresses[0][1], transport)


def theirs(node: Node, transport: str) -> Seen:
    with node.popen("parity_server.mjs") as process:
        assert process.stdout is not None
        return play(node, process.stdout.readline().strip(), transport)


@pytest.fixture(scope="module")
def observations(node: Node) -> dict[str, tuple[Seen, Seen]]:
    """What was seen of ours and of theirs, by transport."""

    async def all_of_them() -> list[Seen]:
        runs = [run for each in TRANSPORTS for run in (ours(node, each), asyncio.to_thread(theirs, node, each))]
        return await asyncio.gather(*runs)

    found = asyncio.run(all_of_them())
    return {each: (found[2 * index], found[2 * index + 1]) for index, each in enumerate(TRANSPORTS)}


class Both:
    """What was seen over one transport."""

    def __init__(self, ours: Seen, theirs: Seen) -> None:
        self.ours = ours
        self.theirs = theirs

    def same(self, scenario: str) -> Any:
        """Asserts that both were the same, and returns it."""
        seen = self.ours[scenario]
        assert seen == self.theirs[scenario]
        assert seen != "late"
        assert not str(seen).startswith("failed")
        return seen

    def different(self, scenario: str, ours: Any, theirs: Any) -> None:
        """Asserts a difference that is there on purpose."""
        assert (self.ours[scenario], self.theirs[scenario]) == (ours, theirs)


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def both(observations: dict[str, tuple[Seen, Seen]], transport: str) -> Both:
    return Both(*observations[transport])


def test_so_01_so_12_so_14_who_it_is(both: Both, transport: str) -> None:
    assert both.same("who it is") == [True, 20, True, transport, True, True, True]


def test_so_03_so_04_so_05_so_06_so_07_so_08_so_09_so_10_so_11_handshake(both: Both) -> None:
    (handshake,) = both.same("handshake")
    assert handshake["header"] == "yes"
    assert handshake["query"] == ["4", "a b"]
    assert handshake["auth"] == {"token": 1}
    assert handshake["address"] == "127.0.0.1"


def test_ak_04_ak_05_ak_12_acknowledgements_of_one(both: Both) -> None:
    nothing, arguments, *_, vain = both.same("acknowledgements")
    assert (nothing, arguments) == ([], [1, {"two": [None, "3"]}])
    assert vain == ["operation has timed out"]


def test_cl_07_order(both: Both) -> None:
    assert both.same("order of acknowledgements and events") == [[1], [2], [3]]


def test_em_03_em_04_em_05_em_13_so_23_so_24_rooms(both: Both) -> None:
    alice, bob, carol = both.same("rooms")
    assert alice == [["in", "a"]]
    assert bob == [["to", "a"], ["in", "a"], ["broadcast"], ["in", "a"]]
    assert carol == [["to", "carol"], ["except", "a"], ["broadcast"]]


def test_em_08_em_09_em_14_so_16_so_26_modifiers(both: Both) -> None:
    assert both.same("modifiers")[-1] == ['"disconnect" is a reserved event name']


def test_ak_07_ak_08_everybody_is_asked(both: Both) -> None:
    complete, nobody, partial = both.same("broadcast with acknowledgements")
    assert complete == [[1, 2, 3], True, False]
    assert nobody == [[], True, False]
    assert partial == [[1, 3], False, True]


def test_ak_10_nobody_waits_for_who_left(both: Both) -> None:
    scenario = "somebody leaves instead of answering"
    both.different(scenario, [[1], False, {"waited": False}], [[1], False, {"waited": True}])


def test_ca_01_ca_02_ca_03_catch_alls(both: Both) -> None:
    scenario = "catch-alls"
    assert both.ours[scenario][:2] == both.theirs[scenario][:2]
    assert both.ours[scenario][0][1:4] == [["any", "nothing"], ["first", "unhandled"], ["any", "unhandled"]]
    assert [row[1] for row in both.ours[scenario][1]] == ["said", "said", "said", "message", "said"]


def test_so_18_a_clients_event_called_error_reaches_no_error_handler(both: Both) -> None:
    refused = ["error", "no such luck"]
    assert (both.ours["catch-alls"][2], both.theirs["catch-alls"][2]) == ([refused], [refused, ["error", None]])


def test_so_17_so_18_socket_middleware(both: Both) -> None:
    assert both.same("socket middleware") == [
        "operation has timed out",
        [["error", "no such luck"]],
        ["still here"],
    ]


def test_ut_01_ut_03_ut_04_ut_05_sv_16_so_13_utilities(both: Both) -> None:
    members, one, left, reserved, reason, _ = both.same("utilities")
    assert members == [[["alice", 3, {}], ["bob", 2, {"name": "Bob"}]]]
    assert one == [[["alice", 3, {}]]]
    assert left == [[["bob", 2, {"name": "Bob"}]]]
    assert reserved == ['"connection" is a reserved event name']
    assert reason == "io server disconnect"


def test_ut_07_no_other_server(both: Both) -> None:
    both.different("no other server", [[]], ["operation has timed out"])


def test_dn_01_dn_02_dn_05_dn_07_sv_07_dynamic_namespaces(both: Both) -> None:
    seen = both.same("dynamic namespaces")
    assert seen[:4] == [["/dynamic-1"], ["/dynamic-2"], [["to all"]], [["to all"]]]
    assert seen[4::2][:3] == ["Invalid namespace", "refused", "Invalid namespace"]


def test_cl_03_cl_04_ns_02_connect_errors(both: Both) -> None:
    unknown, guarded, _, joined = both.same("connect errors")
    assert unknown[0] == "Invalid namespace"
    assert guarded == ["not authorized", {"retry": True}, False]
    assert joined is True


REASONS = {
    "client": ("io client disconnect", "client namespace disconnect"),
    "server": ("io server disconnect", "server namespace disconnect"),
    "server, all": ("io server disconnect", "server namespace disconnect"),
    "session closed by the server": ("transport close", "forced close"),
    "session closed by the client": ("forced close", "transport close"),
    "silent client": ("transport close", "ping timeout"),
    "invalid Engine.IO packet": ("transport close", "parse error"),
    "connection cut": ("transport close", "transport close"),
}
WEBSOCKET_ONLY = ("invalid Engine.IO packet", "connection cut")


@pytest.mark.parametrize("scenario", REASONS)
def test_dr_01_dr_02_dr_04_dr_05_dr_07_dr_09_dr_10_reasons(both: Both, transport: str, scenario: str) -> None:
    if scenario in WEBSOCKET_ONLY and transport != "websocket":
        assert scenario not in both.theirs
        return
    reason, active, rows, *_ = both.same(scenario)
    assert (reason, {row[2] for row in rows}) == (REASONS[scenario][0], {REASONS[scenario][1]})
    assert [row[0] for row in rows] == ["disconnecting", "disconnect"] * (len(rows) // 2)
    # A stock client comes back by itself unless somebody wanted it to go.
    assert active is (reason not in ("io client disconnect", "io server disconnect"))


@pytest.mark.parametrize("scenario", ["one namespace", "client leaves one namespace"])
def test_dr_01_dr_02_the_session_and_its_other_namespaces_stay(both: Both, scenario: str) -> None:
    (_, _, rows), alive, _ = both.same(scenario)
    assert {row[1] for row in rows} == {"/admin"}
    assert alive == [1]


def test_dr_03_server_shutting_down(both: Both) -> None:
    assert both.same("server shutting down") == ["transport close", "transport close", True]


def test_sc_05_sc_11_dr_05_an_invalid_packet(both: Both) -> None:
    ends = [["disconnecting", "/", "forced close", 1], ["disconnect", "/", "forced close", 0]]
    both.different(
        "invalid Socket.IO packet",
        ["transport close", True, [["error", "unknown packet type"], *ends]],
        ["transport close", True, [["error", "unknown packet type 9"], *ends]],
    )


def test_cl_05_a_late_packet(both: Both) -> None:
    both.different("late packet", [True], [False])


def test_every_scenario_is_looked_at(both: Both) -> None:
    looked_at = {
        *REASONS,
        "acknowledgements",
        "broadcast with acknowledgements",
        "catch-alls",
        "client leaves one namespace",
        "connect errors",
        "dynamic namespaces",
        "handshake",
        "invalid Socket.IO packet",
        "late packet",
        "modifiers",
        "no other server",
        "one namespace",
        "order of acknowledgements and events",
        "rooms",
        "server shutting down",
        "socket middleware",
        "somebody leaves instead of answering",
        "utilities",
        "who it is",
    }
    assert set(both.theirs) | set(WEBSOCKET_ONLY) == looked_at
    assert set(both.ours) == set(both.theirs)
