"""What has to come out: who is in which room, who is owed which broadcast, and which answers are awaited.

The model knows nothing of packets, sessions and transports. It says what the application asked for; what it is held
against is what clients and handlers saw.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sioproto.errors import AckTimeout, Disconnected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sioproto.pending import Pending
    from sioproto.socketio import Socket
    from sioproto.socketio.acks import BroadcastAnswers


class Member:
    """One socket of the server, from its ``connection`` on, over all the connections that recover it."""

    __slots__ = ("client", "got", "heard", "namespace", "owed", "present", "repeats", "rooms", "tainted")

    def __init__(self, client: int, namespace: str, sid: str, repeats: bool) -> None:
        self.client = client
        self.repeats = repeats
        """Whether its client sends an event again until it is acknowledged."""
        self.namespace = namespace
        self.rooms: dict[str, None] = {sid: None}
        self.present = True
        """Whether the application takes it for connected."""
        self.tainted = False
        """Whether its network repeated requests, which is beyond what the protocol promises."""
        self.owed: list[int] = []
        """What was sent to it, volatile events excepted, in order."""
        self.got: list[int] = []
        """What of that its client got."""
        self.heard: list[int] = []
        """What its client said to the server."""


class Model:
    """The sockets of a server and what was sent to them."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.answers: list[tuple[Pending[Any], int]] = []
        self.queries: list[tuple[Pending[Any], int, Socket]] = []
        self.polls: list[tuple[Pending[BroadcastAnswers[Any]], int]] = []

    def owe(self, number: int, namespace: str, to: tuple[str, ...], without: tuple[str, ...]) -> None:
        """A broadcast is sent to members of any of the rooms, all if there are none, but of none of those ``without``.

        A member that is away is owed it, too: it gets it if it is recovered, and nothing any more if not.
        """
        for member in self.members.values():
            chosen = not to or any(room in member.rooms for room in to)
            if member.namespace == namespace and chosen and not any(room in member.rooms for room in without):
                member.owed.append(number)

    def surprises(self, connected: dict[str, bool]) -> Iterator[str]:
        """Yields what differs. ``connected`` are the ids of the sockets that are there at the end."""
        earlier: dict[tuple[int, str], dict[int, None]] = {}
        for sid, member in self.members.items():
            before = earlier.setdefault((member.client, member.namespace), {})
            got = member.got
            # A client that leaves a namespace and asks for it again over the same connection may still get what was on
            # its way to the socket it left. The protocol does not tell the two apart; nor does the JavaScript client.
            while got and got[0] in before and got[0] not in member.owed:
                got = got[1:]
            before.update(dict.fromkeys(member.owed))
            if member.tainted:
                continue
            if got != member.owed[: len(got)]:
                yield f"{sid} of c{member.client} got {member.got} and was owed {member.owed}, in that order, once each"
            elif sid in connected and len(got) < len(member.owed):
                yield f"{sid} of c{member.client} is connected and misses {member.owed[len(got) :]}"
            heard = list(dict.fromkeys(member.heard)) if member.repeats else member.heard
            if any(later <= earlier for earlier, later in pairwise(heard)):
                yield f"the server heard {member.heard} from {sid} of c{member.client}: not in order, or twice"
        for pending, number in self.answers:
            yield from answer_surprises(pending, number)
        for poll, number in self.polls:
            if not poll.done:
                yield f"the answers to {number} are awaited for ever"
            elif any(value != number for value in poll.result().answers.values()):
                yield f"asked {number}, answered {poll.result().answers}"


def answer_surprises(pending: Pending[Any], number: int) -> Iterator[str]:
    """Yields what is wrong with an answer: it is the number that was asked, or an error says why there is none."""
    if not pending.done:
        yield f"the answer to {number} is awaited for ever"
        return
    try:
        value = pending.result()
    except (AckTimeout, Disconnected):
        return
    if value != number:
        yield f"asked {number}, answered {value!r}"
