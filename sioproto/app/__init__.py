"""The server that handlers are written for, on whichever runtime."""

from sioproto.app.dispatch import Ack
from sioproto.app.runtime import Runtime
from sioproto.app.server import Server

__all__ = ["Ack", "Runtime", "Server"]
