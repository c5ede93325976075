"""Attributes of one's own: set in a middleware, used by handlers. A type checker is told of them, here by ``Any``."""

import sys
from typing import Any

from sioproto import ConnectError
from sioproto_asyncio import Server

io = Server()

USERS = {"s3cr3t": "alice"}


async def fetch_user(token: str) -> str:
    return USERS[token]


@io.use
async def authenticate(socket: Any) -> None:
    try:
        socket.user = await fetch_user(socket.handshake.auth["token"])
    except KeyError:
        raise ConnectError("unknown user") from None


@io.on("connection")
def connection(socket: Any) -> None:
    print(socket.user)


@io.on("set username")
def set_username(socket: Any, username: str) -> None:
    socket.username = username


@io.on("disconnect")
def disconnect(socket: Any) -> None:
    print(socket.user, socket.username)


if __name__ == "__main__":
    io.run(port=int(sys.argv[1]) if sys.argv[1:] else 3000)
