"""A small application for tests of the world: names, rooms, messages, questions, feeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sioproto import ConnectError

if TYPE_CHECKING:
    from sioproto import Socket
    from sioproto.app import Server


def register(io: Server) -> None:
    """Puts the application on a server, whichever runtime that is for."""

    @io.use
    async def check(socket: Socket) -> None:
        await io.sleep(0.01)
        if socket.handshake.auth.get("token") != "s3":
            raise ConnectError("unknown token", {"code": "token"})

    @io.on("connection")
    def connected(socket: Socket) -> None:
        socket.join("lobby")

    @io.on("say")
    def say(socket: Socket, text: str) -> str:
        socket.to("lobby").emit("said", text)
        return "ok"

    @io.on("think")
    async def think(socket: Socket, seconds: float) -> float:
        await io.sleep(seconds)
        return seconds

    @io.on("ask")
    async def ask(socket: Socket, question: str) -> Any:
        return await socket.timeout(5).emit_with_ack("question", question)

    @io.on("fail")
    def fail(socket: Socket) -> None:
        raise ValueError("on purpose")


AUTH = {"token": "s3"}
