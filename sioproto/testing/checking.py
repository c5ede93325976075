"""What a test hands to a world, looked at where it is handed in: the place that is wrong is the place that is shown."""

from __future__ import annotations

import inspect
import pkgutil
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from sioproto.errors import LocalProtocolError, OptionError
from sioproto.handlers import read_shape
from sioproto.pending import Pending

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

WIRE = ("ServerWire", "ClientWire", "WireConfig", "ClientWireConfig")
"""What a wire has."""

WIRE_PACKAGE = "sioproto_wire"
"""Where options of the wire are looked for when a world has none, and only then."""


def is_number(value: object) -> bool:
    """Returns whether something is a number that can be counted with: no bool, not infinite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def check_seconds(what: str, value: object) -> None:
    """Raises ``LocalProtocolError`` unless it is a number of seconds of at least 0."""
    if not is_number(value) or not value >= 0:  # type: ignore[operator]  # a number by now
        raise LocalProtocolError(f"{what} is a number of seconds of at least 0, not {value!r}")


def check_whole(what: str, unit: str, value: object, least: int) -> None:
    """Raises ``LocalProtocolError`` unless it is a whole number, not below ``least``."""
    if type(value) is not int or value < least:
        raise LocalProtocolError(f"{what} is a whole number{unit} of at least {least}, not {value!r}")


def check_flag(what: str, value: object) -> None:
    """Raises ``LocalProtocolError`` unless it is True or False."""
    if not isinstance(value, bool):
        raise LocalProtocolError(f"{what} is True or False, not {value!r}")


def check_one_of(what: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raises ``LocalProtocolError`` unless it is one of some words."""
    if value not in allowed:
        raise LocalProtocolError(f"{what} is {' or '.join(f'{each!r}' for each in allowed)}, not {value!r}")


def check_world(seed: object, wire: object, flags: dict[str, object], budget: object, transcript: object) -> None:
    """Raises ``LocalProtocolError`` for what no world can be made of."""
    if type(seed) is not int:
        raise LocalProtocolError(f"a seed is a whole number, not {seed!r}")
    if wire is not None and not all(hasattr(wire, name) for name in WIRE):
        raise LocalProtocolError(f"a wire is the package sioproto_wire, or one like it, not {wire!r}: World(wire=...)")
    for name, value in flags.items():
        check_flag(name, value)
    check_whole("the budget", " of steps", budget, 1)
    check_whole("the transcript", " of entries", transcript, 0)


def check_pending(pending: object) -> None:
    """Raises ``LocalProtocolError`` unless a result can be waited for."""
    if inspect.iscoroutine(pending):
        pending.close()  # nobody runs it any more, and Python would complain of that, far from here
        raise LocalProtocolError(
            "a result is that of a Pending, not of a coroutine: world.result(world.spawn(function))"
        )
    if not isinstance(pending, Pending):
        raise LocalProtocolError(
            f"a result is that of a Pending, such as emit_with_ack() and world.spawn() return, not of {pending!r}"
        )


def check_function(function: object) -> None:
    """Raises ``LocalProtocolError`` unless it can be spawned."""
    if inspect.iscoroutine(function):
        name = function.__name__
        function.close()
        raise LocalProtocolError(f"hand in the function, which is called later: world.spawn({name}), without the call")
    if not callable(function):
        raise LocalProtocolError(f"what is spawned is a function, not {function!r}")


def check_register(register: Any) -> None:
    """Raises ``LocalProtocolError`` unless it puts an application on the server that it gets."""
    if not callable(register):
        raise LocalProtocolError(f"register is a function that gets the server, def register(io), not {register!r}")
    least, most, _ = read_shape(register)
    if least > 1 or most < 1:
        name = getattr(register, "__name__", repr(register))
        needs = f"needs {least} arguments" if least > 1 else "takes none"
        raise LocalProtocolError(f"register gets the server and nothing else, def register(io), and {name} {needs}")


def check_namespace(namespace: object) -> None:
    """Raises ``LocalProtocolError`` unless it names a namespace."""
    if not isinstance(namespace, str):
        advice = f"; an auth goes by name: world.client(auth={namespace!r})" if isinstance(namespace, dict) else ""
        raise LocalProtocolError(f"a client's namespace is a str, not {namespace!r}{advice}")


def check_options(
    options: Iterable[str], side: str, own: Collection[str], other: Collection[str], wire: object
) -> None:
    """Raises ``OptionError`` for an option that exists elsewhere: on the other side, or in a wire that is not there."""
    elsewhere = "clients" if side == "servers" else "servers"
    for name in options:
        if name in own:
            continue
        if name in other:
            raise OptionError(f"{name!r} is an option of {elsewhere}")
        if wire is None:
            package = find_package(WIRE_PACKAGE)
            ours = ("WireConfig", "ClientWireConfig")[side == "clients"]
            if package is not None and name in names_of(getattr(package, ours)):
                raise OptionError(f"{name!r} is an option of the wire: World(wire={WIRE_PACKAGE})")


def names_of(*configs: type[Any]) -> set[str]:
    """Returns the names of options of some config classes."""
    return {each.name for config in configs for each in fields(config)}


def find_package(name: str) -> Any:
    """Returns a package, or None where it is not installed."""
    try:
        return pkgutil.resolve_name(name)
    except ImportError:
        return None
