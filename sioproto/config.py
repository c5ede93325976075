"""Every option of the core, with its default and its unit; and the one place where options by name become a config.

Durations are seconds, sizes are bytes. Each number that a peer could push against is here under a name, so that nothing
grows without a limit that somebody can see and set.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from sioproto.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable

TransportName = Literal["polling", "websocket"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CorsPolicy:
    """Which pages of other origins may use the server (Fetch standard, CORS protocol).

    Browsers send the origin of the page; a page of the server's own host is always allowed, and so is a client
    without an ``Origin`` header, because it is no browser. ``origins`` is ``"*"`` for everybody or the allowed
    origins, written as browsers send them (``https://app.example.org``).
    """

    origins: Literal["*"] | tuple[str, ...] = ()
    credentials: bool = False
    """Whether pages may send cookies. With ``origins="*"`` the page's own origin is echoed instead of ``*``."""
    methods: tuple[str, ...] = ("GET", "HEAD", "PUT", "PATCH", "POST", "DELETE")
    headers: tuple[str, ...] | None = None
    """Allowed request headers; None echoes what the preflight asks for."""
    expose: tuple[str, ...] = ()
    max_age: int | None = None
    """Seconds for which a browser may remember a preflight."""

    def __post_init__(self) -> None:
        if self.origins != "*":
            if isinstance(self.origins, str):
                raise OptionError(f'cors origins are "*" or a tuple of origins, not the string {self.origins!r}')
            object.__setattr__(self, "origins", tuple(self.origins))
            for origin in self.origins:
                scheme, mark, host = origin.partition("://")
                if origin != "null" and (not (scheme and mark and host) or "/" in host or origin != origin.lower()):
                    raise OptionError(f"an origin is written as browsers send it, https://app.example, not {origin!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionCookie:
    """A cookie with the session id on the first polling response, for load balancers that want one. Never read."""

    name: str = "io"
    path: str = "/"
    http_only: bool = True
    same_site: Literal["lax", "strict", "none"] | None = "lax"
    secure: bool = False
    domain: str | None = None
    max_age: int | None = None
    """Seconds; None lasts as long as the browser runs."""

    def __post_init__(self) -> None:
        if self.same_site not in ("lax", "strict", "none", None):
            raise OptionError(f'same_site is "lax", "strict", "none" or None, not {self.same_site!r}')
        if self.same_site == "none" and not self.secure:
            raise OptionError('browsers refuse a cookie with same_site="none" unless it is secure')


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpCompression:
    """Compression of polling responses of at least ``threshold`` bytes, for clients that accept gzip or deflate."""

    threshold: int = 1024
    level: int = 6

    def __post_init__(self) -> None:
        if self.threshold < 0 or not 0 <= self.level <= 9:
            raise OptionError("compression takes a threshold of at least 0 bytes and a level of 0 to 9")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovery:
    """Recovery of connections: a client that comes back in time goes on with its socket's id, rooms and data, and gets
    what it missed.
    """

    max_disconnection: float = 120.0
    """How long a client may be away, from the moment at which its loss was noticed."""
    skip_middlewares: bool = True
    """Whether a recovered socket connects without passing the middlewares of its namespace once more."""
    max_packets: int = 100_000
    """Events that are kept for a namespace; beyond, the oldest goes."""
    max_bytes: int = 64 * 1024 * 1024
    """Bytes of events that are kept for a namespace, each with 400 on top, and 250 for each room but the first; beyond,
    the oldest goes.
    """
    max_sessions: int = 10_000
    """Sockets that may be away at once, in all namespaces; beyond, the one that has been away for the longest goes."""
    store_timeout: float = 5.0
    """How long the store may take to find a socket; after that its client gets a new one."""

    def __post_init__(self) -> None:
        check_positive(self, *(each.name for each in fields(self) if each.name != "skip_middlewares"))


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineConfig:
    """The options of the Engine.IO floor."""

    path: str = "/socket.io"
    """Requests whose target begins with this path belong to Engine.IO."""
    add_trailing_slash: bool = True
    """Whether the path is matched with a slash at its end, as stock clients send it."""
    transports: tuple[TransportName, ...] = ("polling", "websocket")
    allow_upgrades: bool = True
    """Whether a polling session may move to WebSocket. False refuses the upgrade, not only its advertisement."""
    ping_interval: float = 25.0
    ping_timeout: float = 20.0
    upgrade_timeout: float = 10.0
    max_payload: int = 1_000_000
    """The largest POST body and WebSocket message that is accepted, in bytes; advertised in the handshake."""
    polling_close_timeout: float = 30.0
    """How long a closing session waits for the poll, or the blocked WebSocket, that takes its last packets."""
    upgrade_noop_interval: float = 0.1
    """While an upgrade is probed a held poll is released on this period; stock clients lean on it."""
    max_send_buffer: int = 4 * 1024 * 1024
    """Bytes that may wait for a client whose transport refuses to take more, each packet with 160 on top; beyond, it is
    closed as a slow consumer.
    """
    drain_mark: int = 64 * 1024
    """Bytes queued for one session in one turn after which an urgent drain is asked for."""
    max_control_packets: int = 100
    """Packets other than messages in one polling payload."""
    decode_slice: int = 512
    """Packets of one polling payload that are decoded before other work gets its turn."""
    initial_packet: str | None = None
    """A message that follows the handshake at once."""
    cors: CorsPolicy | None = None
    cookie: SessionCookie | None = None
    http_compression: HttpCompression | None = HttpCompression()
    trusted_proxies: tuple[str, ...] = ()
    """Addresses of reverse proxies whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed."""

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise OptionError(f"path must begin with a slash, not {self.path!r}")
        check_positive(self, "ping_interval", "ping_timeout", "upgrade_timeout", "max_payload", "polling_close_timeout")
        check_positive(
            self, "upgrade_noop_interval", "max_send_buffer", "drain_mark", "max_control_packets", "decode_slice"
        )
        for name, kind in (("cors", CorsPolicy), ("cookie", SessionCookie), ("http_compression", HttpCompression)):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise OptionError(f"{name} must be {kind.__name__}(...) or None, not {value!r}")
        check_transports(self.transports)

    @property
    def prefix(self) -> str:
        """What a request target begins with when it is Engine.IO's."""
        path = self.path.removesuffix("/")
        return path + "/" if self.add_trailing_slash else path


@dataclass(frozen=True, kw_only=True, slots=True)
class SocketConfig:
    """The options of the Socket.IO floor."""

    connect_timeout: float = 45.0
    """A session that joined no namespace by then is closed."""
    max_unconnected: int = 10_000
    """Sessions that joined no namespace yet, at any one time; above, the one that has asked for none for the longest
    goes, or new ones get HTTP 503 if all of them wait for an answer.
    """
    max_namespaces: int = 32
    """Namespaces per session."""
    max_pending_connects: int = 8
    """CONNECTs of one session that wait for an answer."""
    connect_rate: int = 100
    """CONNECTs a minute and session, refused ones included."""
    max_early: int = 100
    """Events that may come for a namespace before its CONNECT is answered; beyond, the session is closed."""
    max_early_bytes: int = 16 * 1024
    """What all of them may take on the wire, and binary before the first namespace is joined; beyond, the same."""
    max_attachments: int = 10
    max_arguments: int = 1000
    max_depth: int = 100
    """How deep arrays and objects of a payload may nest."""
    max_containers: int = 50_000
    """Arrays and objects of one payload; each takes up to 30 times the room that it has on the wire."""
    max_event_name: int = 1024
    max_namespace_name: int = 256
    max_rooms: int = 10_000
    """Rooms that one socket may be in."""
    ack_timeout: float = 60.0
    """How long an acknowledgement is awaited when the call names no time of its own."""
    max_acks: int = 1000
    """Acknowledgements that are awaited from one socket; beyond, the oldest fails."""
    disconnecting_timeout: float = 5.0
    """How long handlers of ``disconnecting`` may keep the rooms of a socket that is gone; what it sent before and is
    not handled by then is dropped.
    """
    recovery: Recovery | None = None
    """A ``Recovery`` to let clients that lost their connection go on where they were; None for new sockets always."""

    def __post_init__(self) -> None:
        check_positive(self, *(field.name for field in fields(self) if field.name != "recovery"))
        if self.recovery is not None and not isinstance(self.recovery, Recovery):
            raise OptionError(f"recovery must be Recovery(...) or None, not {self.recovery!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineClientConfig:
    """The options of the Engine.IO floor in the client's role."""

    path: str = "/socket.io"
    add_trailing_slash: bool = True
    """Whether a slash follows the path in each request."""
    transports: tuple[TransportName, ...] = ("polling", "websocket")
    """In the order of preference. A connection begins with the first one; see ``try_all_transports``."""
    upgrade: bool = True
    """Whether a polling session moves to WebSocket where both sides have it."""
    try_all_transports: bool = False
    """Whether a transport that fails before the session is open gives way to the next one."""
    remember_upgrade: bool = False
    """Whether the next connection begins with WebSocket if the last one ended on it; any failure forgets that."""
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Added to the query of every request."""
    extra_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Added to every request."""
    transport_headers: Mapping[TransportName, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """Added to the requests of one transport."""
    subprotocols: tuple[str, ...] = ()
    """Offered when a WebSocket is opened."""
    cookie_jar: bool = False
    """Whether cookies that the server sets are sent back, over all connections."""
    max_cookies: int = 50
    """Cookies that are kept; beyond, the oldest goes."""
    max_cookie_bytes: int = 8 * 1024
    """What all of them may take in the header field of a request, which servers take up to 16 KiB or so of; beyond,
    the oldest goes.
    """
    timestamp_param: str = "t"
    """Names the query parameter that keeps caches from answering."""
    timestamp_requests: bool | None = None
    """Whether requests carry it: None for polls and POSTs only, True for WebSockets as well, False for none."""
    force_base64: bool = False
    """Asks the server to send binary messages as text, for links that spoil binary frames."""
    request_timeout: float | None = None
    """How long a poll or POST may take; None bounds them by the heartbeat alone, as a poll is held on purpose."""
    upgrade_timeout: float = 10.0
    """An upgrade that takes longer is given up; polling goes on."""
    close_timeout: float = 5.0
    """How long a closing connection waits for its server to take the next of its last packets."""
    max_payload: int = 16 * 1024 * 1024
    """The largest message or polling response that is accepted from the server, in bytes; beyond, the connection is
    closed.
    """
    max_control_packets: int = 100
    """Packets other than messages in one polling payload."""
    max_post_packets: int = 16
    """Packets in one POST: what python-socketio's server takes, where nobody told it to take more. Others have no such
    limit; for them a larger one makes bursts over polling quicker."""
    decode_slice: int = 512
    """Packets of one polling payload that are decoded before other work gets its turn."""
    max_send_buffer: int = 4 * 1024 * 1024
    """Bytes that may wait for a server that takes no more, each packet with 160 on top; beyond, the connection is
    closed.
    """
    drain_mark: int = 64 * 1024
    """Bytes queued in one turn after which an urgent drain is asked for."""

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise OptionError(f"path must begin with a slash, not {self.path!r}")
        check_positive(
            self,
            *("upgrade_timeout", "close_timeout", "max_payload", "max_control_packets"),
            *("max_cookies", "max_cookie_bytes"),
            *("decode_slice", "max_send_buffer", "drain_mark", "max_post_packets"),
        )
        if self.request_timeout is not None:
            check_positive(self, "request_timeout")
        check_transports(self.transports)
        for name in ("query", "extra_headers", "transport_headers"):
            if not isinstance(getattr(self, name), Mapping):
                raise OptionError(f"{name} must be a dict, not {getattr(self, name)!r}")
        check_transports(tuple(self.transport_headers) or self.transports)
        if isinstance(self.subprotocols, str):
            raise OptionError(f"subprotocols are a tuple of names, not the string {self.subprotocols!r}")

    @property
    def target(self) -> str:
        """The path of every request, without a query."""
        path = self.path.removesuffix("/")
        return path + "/" if self.add_trailing_slash else path


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientConfig:
    """The options of the Socket.IO floor in the client's role."""

    open_timeout: float | None = 20.0
    """How long a connection may take to open, in seconds; None for as long as it takes."""
    connect_timeout: float | None = 60.0
    """How long the server may take to answer a CONNECT, in seconds; None for as long as it takes. Beyond, the
    connection is closed and tried again, or if another namespace uses it, that socket alone gets ``connect_error``.
    """
    reconnection: bool = True
    """Whether a lost connection, or one that could not be opened, is tried again."""
    reconnection_attempts: int | None = None
    """How often in a row, before it gives up; None for ever."""
    reconnection_delay: float = 1.0
    """Seconds before the first attempt; each further one waits twice as long, up to ``reconnection_delay_max``."""
    reconnection_delay_max: float = 5.0
    reconnection_reset_after: float = 5.0
    """Seconds that a connection has to last until the delays begin with the shortest one again."""
    randomization_factor: float = 0.5
    """How far a delay varies, 0 to 1, so that clients do not come back all at once; also at the longest delay."""
    ack_timeout: float | None = None
    """Seconds for which ``emit_with_ack`` waits where the call names no time; None for as long as the connection."""
    retries: int = 0
    """How often an event is sent again when it is not acknowledged within ``ack_timeout``; above 0 that is needed."""
    max_buffered: int = 10_000
    """Events that may wait for a connection, and for their turn with ``retries``; beyond, ``emit`` raises."""
    max_early: int = 25_000
    """Events of a namespace that may come before its CONNECT is answered; beyond, the connection is closed."""
    max_early_bytes: int = 16 * 1024 * 1024
    """What all of them may take on the wire; beyond, the same."""
    max_acks: int = 1000
    """Acknowledgements that are awaited in one namespace; beyond, the oldest fails."""
    max_attachments: int = 1000
    max_arguments: int = 1000
    max_depth: int = 100
    """How deep arrays and objects of a payload may nest."""
    max_containers: int = 1_000_000
    """Arrays and objects of one payload; each takes up to 30 times the room that it has on the wire."""
    max_event_name: int = 1024
    max_namespace_name: int = 256

    def __post_init__(self) -> None:
        optional = ("open_timeout", "connect_timeout", "reconnection_attempts", "ack_timeout")
        free = ("reconnection", "retries", "randomization_factor")
        check_positive(self, *(each.name for each in fields(self) if each.name not in optional + free))
        check_positive(self, *(name for name in optional if getattr(self, name) is not None))
        if not 0 <= self.randomization_factor <= 1:
            raise OptionError(f"randomization_factor must be from 0 to 1, not {self.randomization_factor!r}")
        if type(self.retries) is not int or self.retries < 0:
            raise OptionError(f"retries must be a whole number of at least 0, not {self.retries!r}")
        if self.retries and self.ack_timeout is None:
            raise OptionError("retries need an ack_timeout, after which an event is sent again")


def check_transports(transports: tuple[TransportName, ...]) -> None:
    """Raises ``OptionError`` unless it is a tuple of names of transports, and not an empty one."""
    if set(transports) - {"polling", "websocket"} or not transports or isinstance(transports, str):
        raise OptionError(f'transports are a tuple of "polling" and "websocket", not {transports!r}')


def check_positive(config: object, *names: str) -> None:
    """Raises ``OptionError`` unless each named option is a number above 0."""
    for name in names:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise OptionError(f"{name} must be a number above 0, not {value!r}")


C1 = TypeVar("C1")
C2 = TypeVar("C2")
C3 = TypeVar("C3")


def configure(
    options: dict[str, Any],
    first: type[C1],
    second: type[C2],
    third: type[C3],
    *,
    others: Iterable[str] = (),
) -> tuple[C1, C2, C3]:
    """Distributes options by name over config classes. Raises ``OptionError`` naming the nearest option it knows.

    A name that several classes have means the same in each, and goes to all of them. ``others`` are names that exist
    elsewhere; they are only offered as the nearest.
    """
    classes: tuple[type[Any], ...] = (first, second, third)
    known = [[field.name for field in fields(each)] for each in classes]
    shares: list[dict[str, Any]] = [{} for _ in classes]
    for name, value in options.items():
        takers = [share for names, share in zip(known, shares, strict=True) if name in names]
        if not takers:
            near = difflib.get_close_matches(name, [*chain(*known), *others], n=1, cutoff=0.0)
            raise OptionError(f"there is no option {name!r}; the nearest known one is {near[0]!r}")
        for share in takers:
            share[name] = value
    return first(**shares[0]), second(**shares[1]), third(**shares[2])
