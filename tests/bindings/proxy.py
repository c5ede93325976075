"""An HTTP proxy for CONNECT, written by hand: it lets through, asks who is there, refuses, hangs, and cuts.

A thread for each way of a connection, since it shares nothing with what it is to test.
"""

from __future__ import annotations

import base64
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class Proxy:
    """A proxy on loopback, for the length of a ``with`` block."""

    def __init__(self, *, user: str = "", refusal: bytes | None = None, silent: bool = False) -> None:
        self.user = user
        """``name:password`` of whoever is let through; empty for everybody."""
        self.refusal = refusal
        """What is said to everybody, before hanging up; None lets them through."""
        self.silent = silent
        """Whether it never says anything."""
        self.requests: list[list[str]] = []
        """The lines of what was asked."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @property
    def port(self) -> int:
        """Its port."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Where clients find it, without a user."""
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Drops whatever goes through; new connections are served."""
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        self.cut()
        for thread in self._threads:
            thread.join()
        for sock in self._open:
            sock.close()

    def _spawn(self, function: object, *args: object) -> None:
        thread = threading.Thread(target=function, args=args)  # type: ignore[arg-type]  # functions of different shapes
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._open.append(sock)
                self._spawn(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                more = sock.recv(1)  # what follows the head belongs to the server
                if not more:
                    return
                head += more
            lines = head.decode().split("\r\n")[:-2]
            self.requests.append(lines)
            if self.silent:
                sock.recv(1)
                return
            token = base64.b64encode(self.user.encode()).decode()
            if self.user and f"proxy-authorization: Basic {token}".lower() not in [line.lower() for line in lines]:
                sock.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            elif self.refusal is not None:
                sock.sendall(self.refusal)
            else:
                host, _, port = lines[0].split(" ")[1].rpartition(":")
                onward = socket.create_connection(("127.0.0.1" if host == "localhost" else host, int(port)))
                self._open.append(onward)
                sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._spawn(self._carry, onward, sock)
                self._carry(sock, onward)
                return
            sock.shutdown(socket.SHUT_RDWR)

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for sock in (source, target):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
