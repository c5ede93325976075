"""How connections are opened by whoever waits for many sockets in one thread: in steps, none of which waits.

The rule not to be broken: nobody waits for a socket that is closed, or becomes one of TLS.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from abc import abstractmethod
from threading import Thread
from typing import TYPE_CHECKING, Any

from sioproto_host import sockets
from sioproto_host.threads import begin
from sioproto_wire import ServerWire

if TYPE_CHECKING:
    from collections.abc import Generator

    from sioproto_host.threads import ThreadedDriver
    from sioproto_wire import ClientConnection

    Steps = Generator[int, None, None]

READ, WRITE = 1, 2
"""What a socket may have to be ready for; the numbers are those of ``selectors``."""

UNDER_WAY = (errno.EINPROGRESS, errno.EWOULDBLOCK)


class OpeningCarrier(sockets.SocketCarrier):
    """One connection, from before there is a socket. A step says what that has to be ready for before the next one."""

    __slots__ = ("eof", "opening", "over")
    driver: ThreadedDriver

    def __init__(self, driver: ThreadedDriver, connection: ClientConnection | None = None) -> None:
        super().__init__(driver, connection)
        self.opening: Steps | None = None
        """What is still to be done before bytes are carried."""
        self.eof = False
        """Whether nothing more can come."""
        self.over = False

    @abstractmethod
    def wait_for(self, events: int) -> None:
        """Calls ``ready`` as soon as the socket is ready for ``events``, and again until this is called with others."""

    def serve(self, connection: Any) -> None:
        if self.opening is None or connection.closing:
            super().serve(connection)

    def abort(self) -> None:
        self.driver.errand(self.close)

    def resume(self) -> None:
        self.driver.errand(self.watch)

    def await_writable(self) -> None:
        self.driver.errand(self.watch)

    def ready(self, events: int) -> None:
        """The socket is ready, or what needed none is done."""
        sock = self.sock
        if self.opening is not None:
            self.step(self.opening)
        elif sock is not None:
            try:
                if events & WRITE and self.unsent:
                    self.flush(sock)
                if events & READ and self.connection.reading and not self.eof:
                    self.eof = not self.receive(sock, self.driver.buffer)
            except OSError:
                self.close()
            except BaseException:  # not the peer's fault, but its connection is good for nothing any more
                self.close()
                raise
            else:
                self.watch()

    def watch(self) -> None:
        """Waits for what there is to wait for."""
        if self.sock is not None and self.opening is None:
            self.wait_for(READ * (self.connection.reading and not self.eof) | WRITE * bool(self.unsent))

    def close(self) -> None:
        """Ends it, once."""
        if self.over:
            return
        self.over = True
        self.opening = None
        if self.sock is not None:
            self.wait_for(0)
            if not self.connection.aborted:
                sockets.say_goodbye(self.sock)
            self.sock.close()
            self.sock = None
        self.connection.receive_lost()
        self.driver.wake(False)
        self.driver.hosted.settle()

    # Opening

    def step(self, opening: Steps) -> None:
        """Goes on with what is to be done."""
        if self.over:
            return
        self.opening = opening
        try:
            self.wait_for(next(opening))
        except StopIteration:
            self.opening = None
            self.watch()
        except (OSError, ValueError) as error:  # a host that cannot be a name is a ValueError
            if not isinstance(self.driver.hosted.wire, ServerWire):
                self.connection.receive_failure(str(error) or type(error).__name__)
            self.close()
        self.driver.wake(False)

    def welcome(self, sock: socket.socket, tls: ssl.SSLContext | None) -> Steps:
        """Takes a connection that was accepted."""
        self.sock = sock
        if tls is not None:
            yield from self._secure(tls, server_side=True)

    def dial(self) -> Steps:
        """Connects to where the route leads."""
        route = self.driver.route
        yield from self._connect(*route.address)
        assert self.sock is not None
        if (tunnel := route.tunnel()) is not None:
            self.sock.send(tunnel.request)
            yield READ
            while not tunnel.receive(self.sock.recv(sockets.READ_SIZE)):
                yield READ
        if route.tls is not None:
            yield from self._secure(route.tls, server_hostname=route.server_hostname)
        self.connection.receive_open()

    def _connect(self, host: str, port: int) -> Steps:
        found: Any = sockets.look_up(host, port)
        if not found:
            # The resolver cannot but wait, so it has a thread of its own.
            answer: list[Any] = []
            resolver = Thread(target=self._look_up, args=(host, port, answer), name="sioproto-resolver", daemon=True)
            begin(resolver)
            yield 0
            (found,) = answer
            if isinstance(found, Exception):
                raise found
        code = 0
        for *kind, _, address in found:
            self.sock = sock = socket.socket(*kind)
            sockets.prepare(sock)
            code = sock.connect_ex(address)
            if code in UNDER_WAY:
                yield WRITE
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not code:
                return
            self.wait_for(0)
            self.sock = None
            sock.close()
        raise OSError(code, os.strerror(code))

    def _look_up(self, host: str, port: int, answer: list[Any]) -> None:
        try:
            answer.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as error:
            answer.append(error)
        self.driver.errand(lambda: self.ready(0))

    def _secure(self, tls: ssl.SSLContext, **how: Any) -> Steps:
        assert self.sock is not None
        self.wait_for(0)
        sock = self.sock = tls.wrap_socket(self.sock, do_handshake_on_connect=False, **how)
        while True:
            try:
                sock.do_handshake()
            except ssl.SSLWantReadError:
                yield READ
            except ssl.SSLWantWriteError:
                yield WRITE
            else:
                return
