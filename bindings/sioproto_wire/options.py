"""Every option of a server by name, for editors and type checkers.

What they mean, their units and their defaults stand with the config classes that they come from; ``configure``
refuses at run time what this refuses in an editor. A test holds the two against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from sioproto import Adapter, CorsPolicy, Environment, HttpCompression, Namespace, Recovery, Request, SessionCookie
    from sioproto.config import TransportName
    from sioproto.socketio import RecoveryStore, SocketServer
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
