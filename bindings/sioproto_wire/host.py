"""What the servers of all bindings share: options by name, the wire under the application, and calls from other
threads.

A binding derives its ``Server`` from ``HostedServer`` and adds how to listen, to run and to end on its runtime.
"""

from __future__ import annotations

import inspect
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sioproto import app
from sioproto.config import EngineConfig, SocketConfig, configure
from sioproto.engineio.bundle import BUNDLE_FILES, Bundle
from sioproto.errors import OptionError
from sioproto_wire.config import WireConfig
from sioproto_wire.server import ServerWire

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from sioproto.app import Runtime
    from sioproto_wire.options import Options

T = TypeVar("T")

HOOKS = tuple(
    name
    for name, parameter in inspect.signature(app.Server.__init__).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY and name not in ("engine_config", "config", "bundle", "timers")
)
"""The options that are not fields of a config class but belong to the application."""


class HostedServer(app.Server):
    """A server on a runtime of a binding.

    Options by name are those of ``EngineConfig``, ``SocketConfig``, ``WireConfig`` and the hooks of
    ``sioproto.app.Server``; an unknown one raises ``OptionError`` with the nearest known name. ``grace`` is how many
    seconds ``close`` takes at most before it cuts off what is left.
    """

    def __init__(self, runtime: Runtime, grace: float, options: Options) -> None:
        if not grace >= 0:
            raise OptionError(f"grace must be at least 0 seconds, not {grace!r}")
        named: dict[str, Any] = dict(options)
        hooks = {name: named.pop(name) for name in HOOKS if name in named}
        bundle = load_bundle(named.pop("serve_client", None))
        engine_config, config, wire_config = configure(
            named, EngineConfig, SocketConfig, WireConfig, others=(*HOOKS, "grace", "environment", "serve_client")
        )
        super().__init__(runtime, engine_config=engine_config, config=config, bundle=bundle, **hooks)
        self._grace = grace
        self._wire = ServerWire(self, wire_config, on_error=lambda error: self._report(error, "response"))


def load_bundle(folder: str | PathLike[str] | None) -> Bundle | None:
    """Reads the JavaScript client from a folder, once. Raises ``OptionError`` when none of its files is there."""
    if folder is None:
        return None
    bundle = Bundle({name: path.read_bytes() for name in BUNDLE_FILES if (path := Path(folder, name)).is_file()})
    if not bundle:
        raise OptionError(f"serve_client: there is no {BUNDLE_FILES[2]} in {folder}")
    return bundle


class Call(Future[T]):
    """A call from another thread, and the future of its result."""

    def __init__(self, function: Callable[..., T], args: tuple[Any, ...]) -> None:
        super().__init__()
        self._function = function
        self._args = args

    def run(self) -> None:
        """Makes the call, in the thread where the core lives."""
        if self.set_running_or_notify_cancel():
            try:
                self.set_result(self._function(*self._args))
            except BaseException as error:  # belongs to whoever waits for the result
                self.set_exception(error)
