"""What bindings share that drive plain sockets themselves: how one listens, is accepted, and carries a connection.

Waiting is theirs: nothing here blocks, and a socket that cannot be read or written now is told of.

The rule not to be broken: what a transport did not take is kept in order, and its connection is blocked until it is
sent.
"""

from __future__ import annotations

import signal
import socket
import ssl
import stat
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sioproto_host.driver import Driver
    from sioproto_host.options import Listening

WOULD_BLOCK = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

READ_SIZE = 64 * 1024
"""Bytes of a read buffer, which all connections of one server or client share. A record of TLS has to fit in: what is
left of one would stay within TLS, where nobody waits for it."""

ACCEPT_BATCH = 64
"""Connections that are accepted in one turn; then everything else gets its turn."""

ACCEPT_PAUSE = 1.0
"""Seconds after which accepting is tried again where the system has no resources for it."""


class SocketCarrier(ABC):
    """Bytes between a non-blocking socket and its ``Connection`` or ``ClientConnection``."""

    __slots__ = ("connection", "driver", "sock", "unsent")

    def __init__(self, driver: Driver, connection: Any = None) -> None:
        self.driver = driver
        self.connection = connection
        """Set before anything else is done."""
        self.sock: socket.socket | None = None
        """The transport, as long as there is one."""
        self.unsent = bytearray()
        """What the transport did not take yet."""

    @abstractmethod
    def abort(self) -> None:
        """Drops the connection at once."""

    @abstractmethod
    def resume(self) -> None:
        """Goes on reading, if that was not done anyway."""

    @abstractmethod
    def await_writable(self) -> None:
        """Calls ``flush`` as soon as the socket takes something, and again until that returns True."""

    @property
    def holding(self) -> bool:
        """Whether there is something that the peer did not take yet."""
        return bool(self.unsent)

    def serve(self, connection: Any) -> None:
        """Does what the connection has to do now."""
        data = connection.take()
        if data and self.sock is not None:
            self._send(self.sock, data)
        self._follow()
        if connection.reading:
            self.resume()

    def receive(self, sock: socket.socket, buffer: memoryview) -> bool:
        """Takes what came. Returns False when nothing more can come, and raises ``OSError`` when the peer is gone."""
        try:
            count = sock.recv_into(buffer)
        except WOULD_BLOCK:
            return True  # half a record of TLS
        if count:
            self.connection.receive_data(buffer[:count])
        else:
            self.connection.receive_eof()
        self.driver.wake(False)
        return count > 0

    def flush(self, sock: socket.socket) -> bool:
        """Sends what is left. Returns whether that is all; raises ``OSError`` when the peer is gone."""
        if not self._drain(sock):
            return False
        self.connection.receive_unblocked()
        self._follow()
        self.driver.wake(False)
        return True

    def _send(self, sock: socket.socket, data: bytes) -> None:
        if self.unsent:
            self.unsent += data
            return
        try:
            sent = sock.send(data)
            if sent == len(data):
                return
        except WOULD_BLOCK:
            sent = 0
        except OSError:
            self.abort()
            return
        self.unsent += memoryview(data)[sent:]
        try:
            if not self._drain(sock):
                self.connection.receive_blocked()
                self.await_writable()
        except OSError:
            self.abort()

    def _drain(self, sock: socket.socket) -> bool:
        try:
            while self.unsent:  # a record of TLS at a time
                del self.unsent[: sock.send(self.unsent)]
        except WOULD_BLOCK:
            return False
        return True

    def _follow(self) -> None:
        """Ends the connection, or our half of it, as soon as everything is sent."""
        connection = self.connection
        if connection.aborted or (connection.closing and not self.unsent):
            self.abort()
        elif connection.half_closing and not (self.unsent or connection.secure or self.sock is None):
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)


def listen(host: str, port: int, how: Listening) -> list[socket.socket]:
    """Returns sockets that listen: on a path, the socket that is given, or all addresses of a host.

    Raises ``OSError`` when one of them is impossible; then there is none.
    """
    path, sock, backlog = how.get("path"), how.get("sock"), how.get("backlog", 4096)
    listeners: list[socket.socket] = []
    try:
        if sock is not None:
            listeners.append(sock)
        elif path is not None:
            listeners.append(socket.socket(socket.AF_UNIX))
            with suppress(OSError, ValueError):  # what is wrong with the path shows when it is bound
                if stat.S_ISSOCK(Path(path).stat().st_mode):
                    Path(path).unlink()
            listeners[0].bind(path)
        else:
            found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
                listeners.append(socket.create_server(address, family=family, backlog=backlog))
        for listener in listeners:
            listener.listen(backlog)
            listener.setblocking(False)
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def accept(listener: socket.socket) -> Iterator[tuple[socket.socket, str]]:
    """Yields connections that wait to be accepted, with the addresses of their peers.

    Raises ``OSError`` where the system has no resources for it: after a pause there may be some.
    """
    for _ in range(ACCEPT_BATCH):
        try:
            sock, peer = listener.accept()
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionAbortedError:  # gone while it waited
            continue
        prepare(sock)
        yield sock, peer[0] if isinstance(peer, tuple) else ""


def look_up(host: str, port: int) -> list[Any]:
    """Returns what ``getaddrinfo`` does for a host that is an address, and nothing for a name.

    That needs no resolver, and so no thread, which would outlive a cancellation.
    """
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return []


def prepare(sock: socket.socket) -> None:
    """Makes a connected socket fit for many small messages, and for whoever must not be blocked."""
    sock.setblocking(False)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):  # the peer is gone, which shows soon enough
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def say_goodbye(sock: socket.socket) -> None:
    """Tells the peer that nothing follows, where TLS wants it told. Its answer is not waited for."""
    if isinstance(sock, ssl.SSLSocket):
        with suppress(OSError, ValueError):
            sock.unwrap()


@contextmanager
def signals_caught(told: Callable[[], object]) -> Iterator[None]:
    """Calls ``told`` at each SIGINT and SIGTERM while the ``with`` block runs, and restores what was there before.

    It is called in the main thread between any two steps of whatever that is doing, maybe of ``told`` itself.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    before: list[Any] = [signal.signal(number, lambda *_: told()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
