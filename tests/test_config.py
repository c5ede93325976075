"""Options by name: defaults that are safe, values that are checked, and the nearest name for a slip."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioproto import CorsPolicy, EngineConfig, LocalProtocolError, OptionError, SocketConfig
from sioproto.config import configure


@dataclass(frozen=True, kw_only=True)
class ThirdConfig:
    backlog: int = 100


def share(**options: Any) -> tuple[EngineConfig, SocketConfig, ThirdConfig]:
    return configure(options, EngineConfig, SocketConfig, ThirdConfig, others=("on_error",))


def test_the_defaults_are_those_of_the_documentation() -> None:
    engine, sockets, third = share()
    assert (engine.ping_interval, engine.ping_timeout, engine.upgrade_timeout) == (25.0, 20.0, 10.0)
    assert (engine.max_payload, engine.max_send_buffer) == (1_000_000, 4 * 1024 * 1024)
    assert (engine.path, engine.transports, engine.allow_upgrades) == ("/socket.io", ("polling", "websocket"), True)
    assert (engine.polling_close_timeout, engine.upgrade_noop_interval) == (30.0, 0.1)
    assert (engine.cors, engine.cookie, engine.initial_packet) == (None, None, None)
    assert (sockets.connect_timeout, sockets.max_unconnected) == (45.0, 10_000)
    assert (sockets.max_namespaces, sockets.max_pending_connects, sockets.connect_rate) == (32, 8, 100)
    assert (sockets.max_acks, sockets.ack_timeout, sockets.max_rooms) == (1000, 60.0, 10_000)
    assert (sockets.max_attachments, sockets.max_arguments, sockets.max_depth) == (10, 1000, 100)
    assert sockets.max_containers == 50_000
    assert third == ThirdConfig()


def test_options_find_their_config() -> None:
    engine, sockets, third = share(ping_interval=1.5, max_acks=3, backlog=5)
    assert engine == EngineConfig(ping_interval=1.5)
    assert sockets == SocketConfig(max_acks=3)
    assert third == ThirdConfig(backlog=5)


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("ping_intervall", "ping_interval"),
        ("pingTimeout", "ping_timeout"),
        ("max_http_payload", "max_payload"),
        ("max_ack", "max_acks"),
        ("back_log", "backlog"),
        ("onerror", "on_error"),
        ("corss", "cors"),
        ("connectTimeout", "connect_timeout"),
    ],
)
def test_an_unknown_option_is_told_the_nearest_name(slip: str, meant: str) -> None:
    with pytest.raises(OptionError, match=f"'{slip}'.*'{meant}'") as caught:
        share(**{slip: 1})
    # So that code which expects what Python itself raises for an unknown argument catches it, too.
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, LocalProtocolError)


@given(st.text(max_size=30))
def test_every_unknown_option_has_a_nearest_name(name: str) -> None:
    known = {field.name for config in (EngineConfig, SocketConfig, ThirdConfig) for field in fields(config)}
    if name in known:
        return
    with pytest.raises(OptionError) as caught:
        share(**{name: 1})
    assert any(f"{each!r}" in str(caught.value) for each in known | {"on_error"})


NUMBERS = [
    (config, field.name)
    for config in (EngineConfig, SocketConfig)
    for field in fields(config)
    if isinstance(field.default, int | float) and not isinstance(field.default, bool)
]


@pytest.mark.parametrize("value", [0, -1, float("nan"), True, "1", None])
@pytest.mark.parametrize(("config", "name"), NUMBERS)
def test_every_number_must_be_above_0(config: Any, name: str, value: object) -> None:
    with pytest.raises(OptionError, match=name):
        config(**{name: value})


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"path": "socket.io"}, "slash"),
        ({"transports": ()}, "transports"),
        ({"transports": ("polling", "webtransport")}, "webtransport"),
        ({"transports": "polling"}, "tuple"),
        ({"cors": "*"}, "CorsPolicy"),
        ({"cookie": True}, "SessionCookie"),
        ({"http_compression": False}, "HttpCompression"),
    ],
)
def test_values_that_make_no_sense(options: dict[str, Any], hint: str) -> None:
    with pytest.raises(OptionError, match=hint):
        EngineConfig(**options)


def test_origins_are_no_string() -> None:
    with pytest.raises(OptionError, match="tuple of origins"):
        CorsPolicy(origins="https://app.example")  # type: ignore[arg-type]
    assert CorsPolicy(origins=["https://app.example"]).origins == ("https://app.example",)  # type: ignore[arg-type]
    assert CorsPolicy(origins="*").origins == "*"


@pytest.mark.parametrize(
    ("path", "slash", "prefix"),
    [("/a", True, "/a/"), ("/a/", True, "/a/"), ("/a", False, "/a"), ("/a/", False, "/a"), ("/", True, "/")],
)
def test_the_prefix_of_requests(path: str, slash: bool, prefix: str) -> None:
    assert EngineConfig(path=path, add_trailing_slash=slash).prefix == prefix


def test_a_config_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        EngineConfig().ping_interval = 1.0  # type: ignore[misc]
