"""Writes the parts of the documentation that the code knows best: `python docs/generate.py`.

states.md comes from the tables that both sides of Engine.IO live by, options.md from the config classes and the text
under their fields, and the programs in embedding.md from the files in examples/. With `--check` nothing is written; the
status is 1 if something is out of date, and it is named.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent), str(DOCS.parent / "bindings")]

from sioproto import app  # noqa: E402
from sioproto.config import (  # noqa: E402
    ClientConfig,
    CorsPolicy,
    EngineClientConfig,
    EngineConfig,
    HttpCompression,
    Recovery,
    SessionCookie,
    SocketConfig,
)
from sioproto.engineio import CLIENT_TABLE, TABLE, ClientInput, ClientState, Input, Session, State  # noqa: E402
from sioproto.engineio.client_life import ClientLife  # noqa: E402
from sioproto_asyncio import Client, Server  # noqa: E402
from sioproto_host.options import ClientOptions, Options  # noqa: E402
from sioproto_wire import ClientWireConfig, PerMessageDeflate, WireConfig  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable
    from enum import Enum

GENERATED = "<!-- Written by docs/generate.py from the code: change that, then run it. -->"


def main(arguments: list[str]) -> int:
    """Writes or checks every generated page and returns the exit status."""
    stale = 0
    for name, text in pages().items():
        path = DOCS / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if arguments == ["--check"]:
            print(f"docs/{name} is out of date: run python docs/generate.py")
        else:
            path.write_text(text, encoding="utf-8")
            print(f"docs/{name} is written")
    return 1 if stale and arguments == ["--check"] else 0


def pages() -> dict[str, str]:
    """Returns the text of each page that is generated, wholly or in parts."""
    found = {"states.md": states(), "options.md": options()}
    embedding = DOCS / "embedding.md"
    if embedding.is_file():
        found["embedding.md"] = with_programs(embedding.read_text(encoding="utf-8"))
    return found


# States


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """One of the tables, and what is to be said about it."""

    title: str
    text: tuple[str, ...]
    states: type[Enum]
    inputs: type[Enum]
    table: Mapping[Any, tuple[Any, str]]
    owner: type[Any]
    """Has the actions as methods."""
    entries: tuple[tuple[str, str], ...]
    """The states that one begins in, and by what."""
    actions: Mapping[str, str]
    """For the actions whose code says it all."""


SERVER_ACTIONS = {
    "decode_body": "Decodes the payload of a POST, slice by slice, and takes its packets.",
    "lose_poll": "Ends the session with `transport error`.",
    "lose_post": "Ends the session with `transport error`.",
    "start_probe": "Keeps the WebSocket as candidate and starts the two timers of an upgrade.",
    "answer_probe": "Answers `3probe`.",
    "lose_link": "Ends the session with `transport close`.",
    "fail_link": "Ends the session with `transport error`.",
    "ping": "Sends a ping and waits for its pong.",
    "time_out": "Ends the session with `ping timeout`.",
    "force_close": "Ends the session with `forced close`.",
}

CLIENT_ACTIONS = {
    "open_session": "Takes the session id and the times of the heartbeat; begins an upgrade where both sides want it.",
    "take_link": "Waits for the handshake on the WebSocket.",
    "decode_answer": "Decodes the payload of a poll, slice by slice, and takes its packets.",
    "poll_again": "Sends the next poll.",
    "post_more": "Sends what was left for the next POST.",
    "fail": "Ends the connection with `transport error`.",
    "dial_candidate": "Asks for a WebSocket and starts the timer of an upgrade.",
    "send_probe": "Says `2probe` on it.",
    "look_for_quiet": "Looks whether a poll or a POST is still in hand.",
    "lose": "Ends the connection with `transport close`.",
    "reject": "Ends the connection with `parse error`.",
    "time_out": "Ends the connection with `ping timeout`.",
    "lose_network": "Ends the connection with `transport close`, or before it was open with `transport error`.",
    "force_close": "Ends the connection with `forced close`.",
}

MACHINES = (
    Machine(
        title="A server's session",
        text=(
            "`sioproto.engineio.TABLE`; the actions are methods of `Session`.",
            "",
            "An action may find that the session is over (a second poll at the same time, a body that is no payload, a",
            "client that takes nothing). Then the state becomes `CLOSED` whatever the row says; such ends are not",
            "drawn. Neither is what comes inside a transport that carries the session: messages, pongs, a close",
            "packet, garbage.",
        ),
        states=State,
        inputs=Input,
        table=TABLE,
        owner=Session,
        entries=(("POLLING", "handshake by a GET"), ("WEBSOCKET", "handshake by a WebSocket")),
        actions=SERVER_ACTIONS,
    ),
    Machine(
        title="A client's connection",
        text=(
            "`sioproto.engineio.CLIENT_TABLE`; the actions belong to `EngineClient`, whose `client_life` module has",
            "them. One connection goes through it once, and never comes back.",
            "",
            "While opening, what fails gives way to the next transport if `try_all_transports` says so; otherwise the",
            "state becomes `CLOSED`. So it does where a server takes nothing and the send buffer is full. Neither is",
            "drawn.",
        ),
        states=ClientState,
        inputs=ClientInput,
        table=CLIENT_TABLE,
        owner=ClientLife,
        entries=(("OPENING_POLLING", "the first transport is polling"), ("OPENING_WEBSOCKET", "it is WebSocket")),
        actions=CLIENT_ACTIONS,
    ),
)


def states() -> str:
    """Returns the page about the states of both sides."""
    lines = [
        "# The states of Engine.IO",
        "",
        GENERATED,
        "",
        "What a server's session does, and what a client's connection does, depends on its state and on what happens.",
        "There is a table for each side, with one row for each pair of the two: the next state, and the action.",
        "Nothing else decides what may follow what. This page is drawn from those tables.",
    ]
    for machine in MACHINES:
        lines += ["", f"## {machine.title}", "", *machine.text, "", "```mermaid", *diagram(machine), "```"]
        lines += ["", *table(("State", "Meaning"), ((f"`{state.name}`", state.value) for state in machine.states))]
        lines += ["", *table(("Input", "Meaning"), ((f"`{given.name}`", given.value) for given in machine.inputs))]
        lines += ["", "What has no row here is ignored: it comes too late to matter, and changes nothing."]
        for state in machine.states:
            rows = [
                (f"`{given.name}`", f"`{following.name}`", f"`{action}`")
                for given in machine.inputs
                for following, action in [machine.table[state, given]]
                if action != "ignore"
            ]
            if rows:
                lines += ["", f"### {state.name}", "", *table(("Input", "Next state", "Action"), rows)]
        actions = dict.fromkeys(action for _, action in machine.table.values() if action != "ignore")
        lines += ["", f"### Actions of {machine.title.lower()}", ""]
        lines += table(("Action", "What it does"), ((f"`{name}`", action_text(machine, name)) for name in actions))
    return "\n".join(lines) + "\n"


def diagram(machine: Machine) -> list[str]:
    """Returns the state diagram. Between two states there is one arrow, with every input that leads along it."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, given), (following, _) in machine.table.items():
        if following is not state:
            arrows.setdefault((state.name, following.name), []).append(given.name)
    lines = ["stateDiagram-v2", *(f"    [*] --> {state}: {text}" for state, text in machine.entries)]
    lines += [f"    {state} --> {following}: {', '.join(names)}" for (state, following), names in arrows.items()]
    return [*lines, "    CLOSED --> [*]"]


def action_text(machine: Machine, name: str) -> str:
    """Returns what an action does: the first paragraph under its name."""
    text = inspect.getdoc(getattr(machine.owner, name))
    return first_paragraph(text).replace("``", "`") if text else known(machine.actions, name, "the action")


# Options


def options() -> str:
    """Returns the page about options."""
    lines = [
        "# Options",
        "",
        GENERATED,
        "",
        "A binding's `Server(...)` takes every option of the first part by its name, its `Client(url, ...)` those of",
        "the second; the small classes of the third part are values of options. An unknown name, or a value that an",
        "option cannot have, raises `OptionError`; for a name it says which known one is nearest. Durations are in",
        "seconds (s), sizes in bytes. What happens beyond a limit stands in [Limits](limits.md).",
        "",
        "## Servers",
        "",
        "### The application",
        "",
        "Parameters of `sioproto.app.Server`, and of what the bindings add to it.",
        "",
        *table(OPTION_HEAD, server_rows()),
    ]
    lines += config_tables(SERVER_CONFIGS)
    lines += [
        "",
        "## Clients",
        "",
        "### The application of a client",
        "",
        "Parameters of `sioproto.app.Client`, beside its URL, and of what the bindings add to it.",
        "",
        *table(OPTION_HEAD, client_rows()),
        *config_tables(CLIENT_CONFIGS),
        "",
        "## Values",
        *config_tables(VALUES),
    ]
    return "\n".join(lines) + "\n"


OPTION_HEAD = ("Option", "Default", "Unit", "Meaning")

SERVER_CONFIGS: tuple[tuple[type[Any], str, str], ...] = (
    (EngineConfig, "Engine.IO", "Fields of `sioproto.EngineConfig`."),
    (SocketConfig, "Socket.IO", "Fields of `sioproto.SocketConfig`."),
    (WireConfig, "HTTP and WebSocket connections", "Fields of `sioproto_wire.WireConfig`."),
)
CLIENT_CONFIGS: tuple[tuple[type[Any], str, str], ...] = (
    (EngineClientConfig, "Engine.IO of a client", "Fields of `sioproto.config.EngineClientConfig`."),
    (ClientConfig, "Socket.IO of a client", "Fields of `sioproto.config.ClientConfig`."),
    (ClientWireConfig, "HTTP and WebSocket connections of a client", "Fields of `sioproto_wire.ClientWireConfig`."),
)
VALUES: tuple[tuple[type[Any], str, str], ...] = (
    (Recovery, "Recovery", "The value of `recovery`: how long and how much is kept for clients that are to come back."),
    (CorsPolicy, "CorsPolicy", "The value of `cors`: which pages of other origins may use the server."),
    (SessionCookie, "SessionCookie", "The value of `cookie`: a cookie with the session id, for load balancers."),
    (
        PerMessageDeflate,
        "PerMessageDeflate",
        "The value of `per_message_deflate`: compression of WebSocket messages. Imported from the binding.",
    ),
    (HttpCompression, "HttpCompression", "The value of `http_compression`: compression of polling responses."),
)
CONFIGS = (*SERVER_CONFIGS, *CLIENT_CONFIGS, *VALUES)

SERVER = {
    "on_error": "`on_error(error, where)` gets whatever user code raises; without it the binding logs it.",
    "fallback": "`fallback(request, body)` answers requests that are not Socket.IO's with a `Response`, or None for "
    "404. `def` or `async def`.",
    "allow_request": "`allow_request(request)` is asked once for each new session; it raises `Forbidden`, or returns "
    "False, to refuse. `def` or `async def`.",
    "generate_id": "`generate_id(request)` makes the ids of sessions, unguessable and unique; a plain function.",
    "adapter": "`adapter(namespace)` makes the adapter of each namespace.",
    "recovery_store": "`recovery_store(server)` makes what keeps lost sockets until they are recovered.",
    "loads": "`loads(text)` replaces the JSON decoder.",
    "dumps": "`dumps(value)` replaces the JSON encoder; it returns a `str`.",
    "max_parked": "What a client's events that wait for handlers may take, each with 256 bytes on top; above, reading "
    "from that client stops until half is handled.",
    "serve_client": "A folder with the files of the JavaScript client, which are served below `path`.",
    "grace": "How long `close` may take before it cuts off what is left.",
    "environment": "Clock and chance, for tests; None for the real ones.",
}
"""What the parameters mean that are fields of no config class."""

CLIENT = {
    "auth": "Sent with each CONNECT of the main namespace: a dict, or a callable that returns one and is asked again "
    "for each attempt. `def` or `async def`.",
    "on_error": "`on_error(error, where)` gets whatever user code raises; without it the runtime reports it.",
    "loads": "`loads(text)` replaces the JSON decoder.",
    "dumps": "`dumps(value)` replaces the JSON encoder; it returns a `str`.",
    "max_parked": "What events that wait for handlers may take, each with 256 bytes on top; above, reading stops until "
    "half is handled, at most as long as the server waits for a pong.",
    "ssl": "The `ssl.SSLContext` for `https` and `wss`; None for one that trusts what the system trusts.",
    "proxy": "An HTTP proxy that all connections go through, as `http://user:password@host:port`; None for none.",
    "wait_for_server": "Whether entering the context manager goes on trying where nobody answers; without it the first "
    "attempt that fails raises `ConnectError`.",
    "grace": "How long `close` may take before it cuts off what is left.",
    "environment": "Clocks and randomness; None for the real ones.",
}
"""The same for a client."""

FIELDS = {
    "CorsPolicy.origins": 'The allowed origins as browsers write them, `"*"` for everybody; none by default.',
    "CorsPolicy.methods": "What a preflight's answer allows.",
    "CorsPolicy.expose": "Response headers that pages may read.",
    "SessionCookie.name": "The name of the cookie.",
    "SessionCookie.path": "Its `Path`.",
    "SessionCookie.http_only": "Whether it is hidden from scripts.",
    "SessionCookie.same_site": "Its `SameSite`; None leaves the attribute out.",
    "SessionCookie.secure": "Whether browsers send it over TLS only.",
    "SessionCookie.domain": "Its `Domain`; None leaves the attribute out.",
    "HttpCompression.threshold": "Shorter responses are not compressed.",
    "HttpCompression.level": "zlib's level, 0 to 9.",
    "EngineConfig.transports": "What clients may use.",
    "EngineConfig.ping_interval": "From a pong, or the handshake, to the next ping.",
    "EngineConfig.ping_timeout": "How long a pong is awaited; a missing one ends the session with `ping timeout`.",
    "EngineConfig.upgrade_timeout": "How long an upgrade may take; later the candidate is closed and polling goes on.",
    "EngineConfig.cors": "A `CorsPolicy`; without one only pages of the server's own host are served.",
    "EngineConfig.cookie": "A `SessionCookie` on the first polling response; None for no cookie.",
    "EngineConfig.http_compression": "An `HttpCompression`; None for none.",
    "SocketConfig.max_attachments": "Binary attachments of one packet.",
    "SocketConfig.max_arguments": "Arguments of one event or acknowledgement.",
    "SocketConfig.max_event_name": "Characters of an event's name.",
    "SocketConfig.max_namespace_name": "Characters of a namespace's name.",
    "EngineClientConfig.path": "Where on the server Engine.IO is found.",
    "ClientConfig.reconnection_delay_max": "The longest of these delays.",
    "ClientConfig.max_attachments": "Binary attachments of one packet.",
    "ClientConfig.max_arguments": "Arguments of one event or acknowledgement.",
    "ClientConfig.max_event_name": "Characters of an event's name.",
    "ClientConfig.max_namespace_name": "Characters of a namespace's name.",
}
"""For the fields that have no text of their own in the code."""

BYTES = frozenset(
    {
        "max_payload",
        "max_bytes",
        "max_send_buffer",
        "drain_mark",
        "max_head",
        "chunk_allowance",
        "min_chunk",
        "max_pipelined",
    }
    | {"max_unsent", "max_linger", "threshold", "max_parked"}
)
UNITS = {"min_body_rate": "bytes/s", "connect_rate": "1/min", "max_age": "s", "randomization_factor": ""}


def config_tables(configs: Iterable[tuple[type[Any], str, str]]) -> Iterable[str]:
    """Yields the lines of a section for each config class."""
    for config, title, text in configs:
        yield from ("", f"### {title}", "", text, "", *table(OPTION_HEAD, config_rows(config)))


def server_rows() -> Iterable[tuple[str, ...]]:
    """Yields a row for each option of a server that is no field of a config class."""
    return role_rows(Server(), app.Server, Options, SERVER_CONFIGS, SERVER)


def client_rows() -> Iterable[tuple[str, ...]]:
    """Yields a row for each option of a client that is no field of a config class."""
    return role_rows(Client("http://localhost"), app.Client, ClientOptions, CLIENT_CONFIGS, CLIENT)


def role_rows(
    made: Any,
    role: type[Any],
    options: type[Any],
    configs: tuple[tuple[type[Any], str, str], ...],
    texts: dict[str, str],
) -> Iterable[tuple[str, ...]]:
    """Yields a row for each option that is no field of a config class."""
    configured = {field.name for config, _, _ in configs for field in fields(config)}
    parameters = inspect.signature(role.__init__).parameters
    for name in options.__annotations__:
        if name not in configured:
            own = {"grace": made._grace, "wait_for_server": False}.get(name)
            default = parameters[name].default if name in parameters else own
            yield f"`{name}`", show(default), unit(name, type(default)), known(texts, name, "the option")


def config_rows(config: type[Any]) -> Iterable[tuple[str, ...]]:
    """Yields a row for each field of a config class."""
    texts = field_texts(config)
    for field in fields(config):
        text = texts.get(field.name) or known(FIELDS, f"{config.__name__}.{field.name}", "the option")
        yield f"`{field.name}`", show(default_of(field)), unit(field.name, hint(config, field.name)), text


def hint(config: type[Any], name: str) -> Any:
    """Returns the annotation of a field."""
    # What the code imports for a type checker alone is not there when it runs.
    return get_type_hints(config, localns={"Mapping": Mapping})[name]


def default_of(field: Field[Any]) -> Any:
    """Returns the default of a field."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default if field.default is not MISSING else None


def show(value: Any) -> str:
    """Returns a default as a reader would write it."""
    if is_dataclass(value):
        return f"`{type(value).__name__}()`"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return f'`"{value}"`'
    if isinstance(value, tuple) and value:
        inner = ", ".join(f'"{each}"' for each in value)
        return f"`({inner})`"
    return f"`{value}`"


def unit(name: str, kind: Any) -> str:
    """Returns the unit of an option, empty for what is only counted or no number."""
    if name in UNITS:
        return UNITS[name]
    if name in BYTES:
        return "bytes"
    return "s" if kind in (float, float | None) else ""


def field_texts(config: type[Any]) -> dict[str, str]:
    """Returns the text under each field of a class, in one line."""
    tree = ast.parse(inspect.getsource(config)).body[0]
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for above, below in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(above, ast.AnnAssign)
            and isinstance(above.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            found[above.target.id] = " ".join(below.value.value.split()).replace("``", "`")
    return found


def known(texts: Mapping[str, str], name: str, what: str) -> str:
    """Returns the text for a name. Ends the program if nobody wrote one, neither in the code nor here."""
    if name not in texts:
        raise SystemExit(f"{what} {name} has no text: write one under it in the code, or in docs/generate.py")
    return texts[name]


# Programs


def with_programs(page: str) -> str:
    """Returns a page with each block under a comment `<!-- file: NAME -->` filled with that file of docs/."""
    lines: list[str] = []
    source = iter(page.splitlines())
    for line in source:
        lines.append(line)
        if line.startswith("<!-- file: "):
            name = line.removeprefix("<!-- file: ").removesuffix(" -->")
            lines.append(next(source))
            for inside in source:
                if inside == "```":
                    break
            lines += [*(DOCS / name).read_text(encoding="utf-8").splitlines(), "```"]
    return "\n".join(lines) + "\n"


# Markdown


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Returns the lines of a table."""
    lines = [head, ("---",) * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def first_paragraph(text: str) -> str:
    """Returns the first paragraph of a docstring in one line."""
    return " ".join(text.partition("\n\n")[0].split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
