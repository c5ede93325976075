"""The benchmark runs, finds what a server does wrong, and computes its ratios rightly. No test looks at a timing."""

from __future__ import annotations

import json
import os
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.bench import micro, world
from tests.bench.__main__ import main
from tests.bench.contestants import CONTESTANTS, HOST, Contestant, Cores, Missing, free_port, measure, python
from tests.bench.loads import RING, Broadcast, Echoer, Member, answer, compact, message, number_of
from tests.bench.meter import Meter, ask_ps, seconds_of
from tests.bench.report import ratios, table
from tests.bench.scenarios import SCENARIOS, Measurement
from tests.bench.wire import Failure, Talker, masked, split, unchunk, unmasked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from tests.peers import Node

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the benchmark runs on Linux and macOS")

SHORT = ["--rounds", "1", "--seconds", "0.2", "--connections", "6"]


# -- all of it


def test_all_scenarios_of_our_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = run("sioproto", tmp_path)
    assert [row["scenario"] for row in said["measurements"]] == list(SCENARIOS)
    assert said["ratios"] == {name: {"sioproto": [1.0]} for name in SCENARIOS if name != "memory"} | {
        "memory": said["ratios"]["memory"]  # six connections may fit into pages that are there already
    }
    printed = capsys.readouterr().out
    for name in SCENARIOS:
        assert f"### {name}: " in printed


def test_python_socketio(python_socketio: ModuleType, tmp_path: Path) -> None:
    try:
        CONTESTANTS["python-socketio"]()
    except Missing as missing:
        pytest.skip(str(missing))
    run("python-socketio", tmp_path)


def test_node(node: Node, tmp_path: Path) -> None:
    run("socket.io", tmp_path)


def run(server: str, folder: Path) -> dict[str, Any]:
    """Runs all scenarios very briefly; every row is complete and valid."""
    file = folder / "bench.json"
    assert main([*SHORT, "--servers", server, "--json", str(file)]) == 0
    said: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    for row in said["measurements"]:
        assert row["error"] is None
        if row["scenario"] == "memory":
            assert row["memory_after"] > 0
        else:
            assert row["units"] > 0
            assert row["server_cpu"] > 0
    return said


def test_micro(capsys: pytest.CaptureFixture[str]) -> None:
    rows = micro.main([], seconds=0.0)
    assert len(rows) > 15
    assert all(each > 0 for _, each in rows)
    assert micro.main(["timer"], seconds=0.0)[0][0].startswith("timer")


def test_world(capsys: pytest.CaptureFixture[str]) -> None:
    rows = world.main(["--clients", "20", "--seconds", "0", "--rounds", "1"])
    assert [name for name, _ in rows] == list(world.ROWS)
    assert all(figure > 0 for _, figure in rows)
    assert "| broadcast |" in capsys.readouterr().out


def test_a_world_has_no_such_row(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        world.main(["nothing"])
    assert "unknown: nothing; there are broadcast" in capsys.readouterr().err


# -- servers that do wrong


def test_a_server_that_does_not_start_fails_its_row() -> None:
    row = attempt(Contestant(("false",), ""))
    assert row.error is not None
    assert "ended with 1" in row.error


def test_a_server_that_says_something_else_fails_its_row(tmp_path: Path) -> None:
    script = tmp_path / "wrong.py"
    script.write_text(
        "import sys; from sioproto_asyncio import Server\n"
        "io = Server(http_compression=None); io.on('echo', lambda socket, data: {**data, 'from': 'nobody'})\n"
        "io.run(sys.argv[1], int(sys.argv[2]))\n"
    )
    row = attempt(Contestant((*python("")[:2], str(script)), ""))
    assert row.error is not None
    assert row.error.startswith("a wrong answer: b'310")


def test_a_server_that_falls_silent_fails_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "silent.py"
    script.write_text(
        "import socket, sys; s = socket.create_server((sys.argv[1], int(sys.argv[2])))\nwhile 1: s.accept()"
    )
    row = attempt(Contestant((*python("")[:2], str(script)), ""))
    assert row.error is not None
    assert "the server closed a connection" in row.error or "receiving failed" in row.error


def attempt(contestant: Contestant) -> Measurement:
    return measure("wrong", contestant, "event", turn=0, connections=2, seconds=0.2, cores=Cores())


# -- answers, as the load generator sees them


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's socket and the server's end of it."""
    with ExitStack() as stack:
        ends = socket.socketpair()
        for end in ends:
            stack.enter_context(end)
            end.settimeout(60)
        yield ends


class Asked:
    """An echo client that has asked, and its server's end."""

    def __init__(self, pair: tuple[socket.socket, socket.socket], window: int = 4) -> None:
        self.client = Echoer(pair[0], 7, window)
        self.server = pair[1]
        self.client.ask()

    def questions(self) -> int:
        """Returns how many questions came."""
        size = len(masked(b"42100" + answer(7, 0)[5:])) + len('["echo",') - len("[")
        data = self.server.recv(65536)
        assert len(data) % size == 0
        return len(data) // size

    def say(self, *packets: bytes, cut: int = 0) -> None:
        data = b"".join(map(unmasked, packets))
        for piece in filter(None, (data[:cut], data[cut:])):
            self.server.sendall(piece)
            self.client.receive()


@pytest.fixture
def asked(pair: tuple[socket.socket, socket.socket]) -> Asked:
    return Asked(pair)


@pytest.mark.parametrize("cut", [0, 1, 5, 100, 150])
def test_right_answers_are_counted_and_followed_by_questions(asked: Asked, cut: int) -> None:
    assert asked.questions() == 4
    for first in range(0, RING * 2, 3):
        asked.say(*(answer(7, (first + each) % RING) for each in range(3)), cut=cut)
        assert asked.client.done == first + 3
        assert asked.questions() == 3
    asked.client.stopped = True
    asked.say(*(answer(7, (asked.client.done + each) % RING) for each in range(4)))
    assert asked.client.done == asked.client.sent


def test_answers_in_another_order_and_with_spaces_are_right(asked: Asked) -> None:
    asked.say(answer(7, 1))
    assert asked.client.done == 0
    asked.say(answer(7, 0).replace(b":", b": "), answer(7, 2))
    assert asked.client.done == 3
    asked.say(answer(7, 3))
    assert asked.client.done == 4


def test_a_ping_within_the_answers_is_answered(asked: Asked) -> None:
    assert asked.questions() == 4
    asked.client.stopped = True
    asked.say(answer(7, 0), b"2", answer(7, 1), cut=120)
    assert asked.client.done == 2
    pong = asked.server.recv(100)
    assert bytes(a ^ b for a, b in zip(pong[6:], pong[2:6], strict=False)) == b"3"


@pytest.mark.parametrize(
    "packets",
    [
        [answer(8, 0)],
        [answer(7, 4)],
        [answer(7, 0), answer(7, 0)],
        [answer(7, 1), answer(7, 1)],
        [answer(7, each) for each in range(5)],
        [answer(7, 0).replace(b"43100", b"43101")],
        [answer(7, 0)[:-1] + b",1]"],
        [answer(7, 0)[:-1]],
        [b"43[]"],
        [b'42["echo"]'],
        [b"1"],
    ],
    ids=[
        "another client's",
        "not asked",
        "twice",
        "early and twice",
        "one too many",
        "another id",
        "one argument more",
        "cut off",
        "no id",
        "an event",
        "a close",
    ],
)
def test_wrong_answers_fail(asked: Asked, packets: list[bytes]) -> None:
    with pytest.raises(Failure):
        asked.say(*packets)


def test_the_end_of_a_connection_fails(asked: Asked) -> None:
    asked.server.close()
    with pytest.raises(Failure, match=r"closed a connection|receiving failed"):
        asked.client.receive()


def test_each_member_gets_each_broadcast_once(pair: tuple[socket.socket, socket.socket]) -> None:
    broadcast = Broadcast.__new__(Broadcast)
    broadcast.sent, broadcast.frame, broadcast.units, broadcast.pending, broadcast._stopped = 0, b"", 0, 0, False
    member = Member(pair[0], broadcast)
    broadcast._members = [member]
    server = pair[1]

    def say(packet: bytes) -> None:
        server.sendall(unmasked(packet))
        member.receive()

    def news(number: int) -> bytes:
        return b'42["news",%s]' % compact(message(0, number))

    member.join()
    say(b"430[]")
    assert member.joined
    broadcast.begin()
    say(news(1))
    say(news(2).replace(b'","', b'", "'))
    assert broadcast.units == 2
    with pytest.raises(Failure, match="wrong"):
        say(news(2))
    with pytest.raises(Failure, match="wrong"):
        say(news(4))
    broadcast.stop()
    say(news(3))
    assert broadcast.pending == 0
    with pytest.raises(Failure, match="twice"):
        say(news(3))


def test_frames_and_chunks_are_cut_where_they_end() -> None:
    data = unmasked(b"4a") + b"\x81\x7e\x01\x00" + b"x" * 256 + b"\x89\x00"
    for end in range(len(data) + 1):
        frames, rest = split(data[:end])
        again, none = split(rest + data[end:])
        assert frames + again == [(1, b"4a"), (1, b"x" * 256), (9, b"")]
        assert none == b""
    for bad in (b"\x01\x00", b"\x81\x80", b"\xc1\x00"):
        with pytest.raises(Failure):
            split(bad)
    chunked = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert unchunk(chunked) == (b"abcde", True)
    assert not any(unchunk(chunked[:end])[1] for end in range(len(chunked)))


def test_only_an_acknowledgement_of_the_message_is_one() -> None:
    assert number_of(answer(1, 5)[1:], 1) == 5
    for wrong in (b"3[", b"3100", b"3999[]", b"3x[]", b'3100["x"]'):
        with pytest.raises(Failure):
            number_of(wrong, 1)


def test_a_talker_that_expects_nothing_takes_pings_only(pair: tuple[socket.socket, socket.socket]) -> None:
    talker = Talker(pair[0])
    pair[1].sendall(unmasked(b"2") + b"\x89\x01x")
    talker.receive()
    assert len(pair[1].recv(100)) == 14
    pair[1].sendall(unmasked(b'42["surprise"]'))
    with pytest.raises(Failure, match="unexpected"):
        talker.receive()


# -- meters and tables


def test_a_process_is_metered() -> None:
    meter = Meter(os.getpid())
    before = meter.cpu()
    while meter.cpu() == before:
        pass
    assert meter.memory() > 1 << 20
    assert meter.waited() >= 0
    assert Meter(free_pid()).cpu() == 0
    assert seconds_of("1-02:03:04.5") == 93784.5
    assert seconds_of("0:01.25") == 1.25


def free_pid() -> int:
    """Returns the id of no process."""
    return 1 << 22


def test_ps_tells_where_the_kernel_does_not() -> None:
    try:
        [*_, (_, size)] = ask_ps(os.getpid())
    except FileNotFoundError:
        pytest.skip("there is no ps")
    assert size > 0


def row(server: str, turn: int, cost: float, **fields: Any) -> Measurement:
    given = {"units": 100, "seconds": 1.0, "server_cpu": cost * 100, "generator_cpu": 0.1} | fields
    return Measurement(scenario="event", server=server, round=turn, connections=50, **given)


def test_ratios_are_taken_inside_a_round() -> None:
    rows = [row("a", 0, 1.0), row("b", 0, 2.0), row("b", 1, 9.0), row("a", 1, 3.0), row("b", 2, 5.0, error="no")]
    assert ratios(rows, "b", "a") == [2.0, 3.0]
    assert ratios(rows, "b", "c") == []
    text = table("event", [each for each in rows if each.error is None], "a")
    assert "**2.50** (2.00, 3.00)" in text
    assert text.index("| a |") < text.index("| b |")


def test_a_table_tells_what_is_wrong_with_its_rows() -> None:
    text = table("event", [row("a", 0, 0.009), row("b", 0, 0.1, error="a wrong\nanswer"), row("b", 1, 0.1)], "a")
    assert "| b | FAILED | | | | |" in text
    assert "- b failed: a wrong answer" in text
    assert "bottleneck" in table("event", [row("a", 0, 0.009, generator_cpu=0.95)], "a")
    assert "set the pace" in table("event", [row("a", 0, 0.001)], "a")
    assert "other processes" in table("event", [row("a", 0, 0.009, server_waited=0.3)], "a")
    assert table("polling", [row("a", 0, 1.0)], "a") == ""


@pytest.mark.parametrize("wrong", [["--servers", "nobody"], ["--rounds", "0"], ["--seconds", "0"]])
def test_wrong_options_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(wrong)
    assert "usage" in capsys.readouterr().err


def test_a_missing_server_is_left_out_unless_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> Contestant:
        raise Missing("install it")

    monkeypatch.setitem(CONTESTANTS, "socket.io", missing)
    assert main([*SHORT, "--servers", "socket.io"]) == 2
    assert "socket.io is left out: install it" in capsys.readouterr().err


def test_a_port_is_free() -> None:
    with socket.create_server((HOST, free_port())):
        pass
