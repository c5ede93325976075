"""The application of tests/peers/parity_server.mjs on this library, event by event."""

from __future__ import annotations

import re
from typing import Any

from sioproto import AckTimeout, ConnectError, Namespace, ReservedEventError, Socket
from sioproto_asyncio import Server

ASK = 1.5


def build() -> Server:
    """Returns the server."""
    io = Server(ping_interval=1.0, ping_timeout=3.0, connect_timeout=30.0)
    log: list[list[Any]] = []

    def tell(*row: Any) -> None:
        log.append(list(row))

    @io.of("/log").on("take")
    def take(socket: Socket) -> list[list[Any]]:
        rows = log.copy()
        log.clear()
        return rows

    for namespace in (io.sockets, io.of("/admin")):
        namespace.on("disconnecting", lambda socket, reason: tell("disconnecting", *end_of(socket, reason)))
        namespace.on("disconnect", lambda socket, reason: tell("disconnect", *end_of(socket, reason)))
        namespace.on("kick", lambda socket: socket.disconnect())
        namespace.on("kick all", lambda socket: socket.disconnect(close=True))

    @io.on("connection")
    def connection(socket: Socket) -> None:
        @socket.use
        def middleware(event: str, args: list[Any]) -> None:
            if event == "forbidden":
                raise PermissionError("no such luck")

    io.on("error", lambda socket, error: tell("error", str(error)))
    io.on("shut down", lambda socket: io.spawn(io.close))
    io.on("close conn", lambda socket: socket.conn.close())
    io.on("echo", lambda socket, *args: args)
    io.on("nothing", lambda socket: None)
    who_it_is(io)
    acknowledgements(io)
    rooms_and_modifiers(io)
    utilities(io)

    @io.on("watch me")
    def watch_me(socket: Socket) -> None:
        socket.on_any(lambda event: tell("any", event))
        socket.prepend_any(lambda event: tell("first", event))
        socket.on_any_outgoing(lambda event: tell("outgoing", event))

    other_namespaces(io)
    io.on("new_namespace", lambda namespace: tell("new namespace", namespace.name))
    return io


def end_of(socket: Socket, reason: str) -> tuple[str, str, int]:
    return socket.namespace.name, reason, len(socket.rooms)


def who_it_is(io: Server) -> None:
    @io.on("who")
    def who(socket: Socket) -> tuple[Any, ...]:
        return socket.id, socket.connected, socket.conn.transport.name, list(socket.rooms)

    @io.on("handshake")
    def handshake(socket: Socket) -> dict[str, Any]:
        it = socket.handshake
        return {
            "header": it.headers["x-parity"],
            "query": [it.query["EIO"], it.query["page"]],
            "auth": it.auth,
            "time": re.sub(r"\d", "0", it.time),
            "issued": it.issued > 1_700_000_000_000,
            "url": it.url.startswith("/socket.io/?EIO=4"),
            "address": it.address,
            "xdomain": it.xdomain,
            "secure": it.secure,
        }

    @io.on("data")
    def data(socket: Socket, name: str) -> None:
        socket.data["name"] = name


def acknowledgements(io: Server) -> None:
    @io.on("ask me", concurrent=True)
    async def ask_me(socket: Socket, *args: Any) -> Any:
        return await socket.emit_with_ack("ask", *args)

    @io.on("ask me in vain")
    async def ask_me_in_vain(socket: Socket) -> str:
        try:
            await socket.timeout(0.1).emit_with_ack("never answered")
        except AckTimeout as error:
            return str(error)
        return "answered"

    @io.on("ask all")
    async def ask_all(socket: Socket, room: str) -> tuple[list[Any], bool, bool]:
        clock = io.timers.clock
        start = clock()
        result = await io.to(room).timeout(ASK).emit_with_ack("ask", 1)
        return sorted(result.answers.values()), result.complete, clock() - start > 0.9 * ASK


def rooms_and_modifiers(io: Server) -> None:
    io.on("join", lambda socket, room: socket.join(room))
    io.on("leave", lambda socket, room: socket.leave(room))
    io.on("to", lambda socket, room, but: socket.to(room).except_(but).emit("said", "to", room))
    io.on("in", lambda socket, room: io.in_(room).emit("said", "in", room))
    io.on("except", lambda socket, room: io.except_(room).emit("said", "except", room))
    io.on("broadcast", lambda socket: socket.broadcast.emit("said", "broadcast"))
    io.on("volatile", lambda socket: socket.volatile.emit("said", "volatile"))

    @io.on("modifiers")
    def modifiers(socket: Socket) -> None:
        socket.compress(False).emit("said", "x" * 3000)
        socket.emit("said", "before")
        socket.emit("said", b"\x01\x02", {"deep": [b"\x03"]})
        socket.send("sent")

    @io.on("reserved")
    def reserved(socket: Socket) -> str:
        try:
            socket.emit("disconnect")
        except ReservedEventError as error:
            return str(error)
        return "sent"


def utilities(io: Server) -> None:
    @io.on("fetch")
    async def fetch(socket: Socket, room: str) -> list[list[Any]]:
        sockets = await io.in_(room).fetch_sockets()
        return sorted([each.handshake.auth["name"], len(each.rooms), each.data] for each in sockets)

    io.on("sockets join", lambda socket, room, other: io.in_(room).sockets_join(other))
    io.on("sockets leave", lambda socket, room, other: io.in_(room).sockets_leave(other))
    io.on("disconnect sockets", lambda socket, room, close: io.in_(room).disconnect_sockets(close))

    @io.on("server side")
    async def server_side(socket: Socket) -> list[Any]:
        return await io.server_side_emit_with_ack("hello")

    @io.on("server side reserved")
    def server_side_reserved(socket: Socket) -> str:
        try:
            io.server_side_emit("connection")
        except ReservedEventError as error:
            return str(error)
        return "sent"


def other_namespaces(io: Server) -> None:
    @io.of("/guarded").use
    async def guard(socket: Socket) -> None:
        if socket.handshake.auth.get("token") != "right":
            raise ConnectError("not authorized", {"retry": True})

    parent: Namespace = io.of(re.compile(r"/dynamic-\d+"))

    @parent.use
    def refuse(socket: Socket) -> None:
        if socket.handshake.auth.get("refuse"):
            raise ConnectError("refused")

    parent.on("where", lambda socket: socket.namespace.name)
    parent.on("to all", lambda socket: parent.emit("said", "to all"))
    io.of(lambda name, auth: name == "/asked" and auth.get("ok") is True)
