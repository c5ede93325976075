"""Every option of servers and clients by name, for editors and type checkers.

What they mean, their units and their defaults stand with the config classes that they come from; ``configure``
refuses at run time what this refuses in an editor. A test holds the two against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    import socket
    import ssl as tls
    from collections.abc import Callable, Mapping
    from os import PathLike

    from sioproto import Adapter, CorsPolicy, Environment, HttpCompression, Namespace, Recovery, Request, SessionCookie
    from sioproto.config import TransportName
    from sioproto.socketio import RecoveryStore, SocketServer
    from sioproto.socketio.client_socket import Auth
    from sioproto_wire.config import PerMessageDeflate


class Options(TypedDict, total=False):
    """What ``Server(...)`` takes."""

    # Hooks: see sioproto.app.Server
    on_error: Callable[[BaseException, str], object] | None
    fallback: Callable[..., Any] | None
    allow_request: Callable[[Request], Any] | None
    generate_id: Callable[[Request], str] | None
    adapter: Callable[[Namespace], Adapter] | None
    recovery_store: Callable[[SocketServer], RecoveryStore] | None
    loads: Callable[[str], Any] | None
    dumps: Callable[[Any], str] | None
    max_parked: int

    # Running: see HostedServer
    serve_client: str | PathLike[str] | None
    grace: float
    environment: Environment | None

    # Engine.IO: see EngineConfig
    path: str
    add_trailing_slash: bool
    transports: tuple[TransportName, ...]
    allow_upgrades: bool
    ping_interval: float
    ping_timeout: float
    upgrade_timeout: float
    max_payload: int
    polling_close_timeout: float
    upgrade_noop_interval: float
    max_send_buffer: int
    drain_mark: int
    max_control_packets: int
    decode_slice: int
    initial_packet: str | None
    cors: CorsPolicy | None
    cookie: SessionCookie | None
    http_compression: HttpCompression | None
    trusted_proxies: tuple[str, ...]

    # Socket.IO: see SocketConfig
    connect_timeout: float
    max_unconnected: int
    max_namespaces: int
    max_pending_connects: int
    connect_rate: int
    max_early: int
    max_early_bytes: int
    max_attachments: int
    max_arguments: int
    max_depth: int
    max_containers: int
    max_event_name: int
    max_namespace_name: int
    max_rooms: int
    ack_timeout: float
    max_acks: int
    disconnecting_timeout: float
    recovery: Recovery | None

    # HTTP and WebSocket connections: see WireConfig
    max_head: int
    max_fields: int
    first_timeout: float
    keep_alive_timeout: float
    head_timeout: float
    body_timeout: float
    body_grace: float
    min_body_rate: int
    chunk_allowance: int
    min_chunk: int
    max_pipelined: int
    max_unsent: int
    max_fragments: int
    per_message_deflate: PerMessageDeflate | None
    close_timeout: float
    max_linger: int
    send_timeout: float


class ClientOptions(TypedDict, total=False):
    """What ``Client(url, ...)`` takes."""

    # Hooks: see sioproto.app.Client
    auth: Auth
    on_error: Callable[[BaseException, str], object] | None
    loads: Callable[[str], Any] | None
    dumps: Callable[[Any], str] | None
    max_parked: int

    # Running: see HostedClient
    ssl: tls.SSLContext | None
    proxy: str | None
    wait_for_server: bool
    grace: float
    environment: Environment | None

    # Engine.IO: see EngineClientConfig
    path: str
    add_trailing_slash: bool
    transports: tuple[TransportName, ...]
    upgrade: bool
    try_all_transports: bool
    remember_upgrade: bool
    query: Mapping[str, str]
    extra_headers: Mapping[str, str]
    transport_headers: Mapping[TransportName, Mapping[str, str]]
    subprotocols: tuple[str, ...]
    cookie_jar: bool
    max_cookies: int
    max_cookie_bytes: int
    timestamp_param: str
    timestamp_requests: bool | None
    force_base64: bool
    request_timeout: float | None
    upgrade_timeout: float
    close_timeout: float
    max_payload: int
    max_control_packets: int
    max_post_packets: int
    decode_slice: int
    max_send_buffer: int
    drain_mark: int

    # Socket.IO: see ClientConfig
    open_timeout: float | None
    connect_timeout: float | None
    reconnection: bool
    reconnection_attempts: int | None
    reconnection_delay: float
    reconnection_delay_max: float
    reconnection_reset_after: float
    randomization_factor: float
    ack_timeout: float | None
    retries: int
    max_buffered: int
    max_early: int
    max_early_bytes: int
    max_acks: int
    max_attachments: int
    max_arguments: int
    max_depth: int
    max_containers: int
    max_event_name: int
    max_namespace_name: int

    # HTTP and WebSocket connections: see ClientWireConfig; close_timeout is theirs as well
    dial_timeout: float
    keep_alive_timeout: float
    max_head: int
    max_fields: int
    head_timeout: float
    body_timeout: float
    chunk_allowance: int
    min_chunk: int
    max_fragments: int
    per_message_deflate: PerMessageDeflate | None
    max_linger: int
    send_timeout: float


class Listening(TypedDict, total=False):
    """How ``serve`` listens, besides host and port."""

    ssl: tls.SSLContext | None
    path: str | None
    sock: socket.socket | None
    backlog: int
