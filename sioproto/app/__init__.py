"""The server and the client that handlers are written for, on whichever runtime."""

from sioproto.app.client import Client
from sioproto.app.runtime import Runtime
from sioproto.app.server import Server
from sioproto.socketio.acks import Ack

__all__ = ["Ack", "Client", "Runtime", "Server"]
