"""Tests of Socket.IO applications without a network, an event loop or real time: servers and clients in a ``World``."""

from sioproto.testing.chance import Chance
from sioproto.testing.client import Client, ClientSocket
from sioproto.testing.clock import Clock
from sioproto.testing.failures import HandlerFailed, InvariantBroken, NeverDone, NeverQuiet, WorldFailure
from sioproto.testing.network import Network, Proxy
from sioproto.testing.runtime import Party
from sioproto.testing.server import Server
from sioproto.testing.transcript import Transcript
from sioproto.testing.world import World

__all__ = [
    "Chance",
    "Client",
    "ClientSocket",
    "Clock",
    "HandlerFailed",
    "InvariantBroken",
    "Network",
    "NeverDone",
    "NeverQuiet",
    "Party",
    "Proxy",
    "Server",
    "Transcript",
    "World",
    "WorldFailure",
]
