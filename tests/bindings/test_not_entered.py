"""Clients that nobody entered, or that two enter: said at once, on every runtime."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import sioproto_asyncio
import sioproto_blocking
from sioproto import LocalProtocolError

curio = pytest.importorskip("curio")

import sioproto_curio  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

NOWHERE = "http://127.0.0.1:1"


@pytest.mark.parametrize("wait", [lambda c: c.connect(), lambda c: c.emit_with_ack("ask"), lambda c: c.sleep(1)])
@pytest.mark.parametrize("runtime", ["asyncio", "curio"])
def test_what_nobody_would_settle_is_not_waited_for(runtime: str, wait: Callable[[Any], Any]) -> None:
    async def main() -> None:
        client = (sioproto_asyncio if runtime == "asyncio" else sioproto_curio).Client(NOWHERE)
        with pytest.raises(LocalProtocolError, match="the client is not entered: async with client"):
            await wait(client)

    if runtime == "asyncio":
        asyncio.run(main())
    else:
        curio.run(main)


@pytest.mark.parametrize("runtime", ["asyncio", "curio"])
def test_the_end_of_what_never_began_is_not_waited_for(runtime: str) -> None:
    async def main() -> None:
        client = (sioproto_asyncio if runtime == "asyncio" else sioproto_curio).Client(NOWHERE)
        with pytest.raises(LocalProtocolError, match="the client is not entered: async with client"):
            await client.wait()
        await client.close()

    if runtime == "asyncio":
        asyncio.run(main())
    else:
        curio.run(main)


def test_the_end_of_what_never_began_is_not_waited_for_on_threads() -> None:
    with pytest.raises(LocalProtocolError, match="the client is not entered: with client"):
        sioproto_blocking.Client(NOWHERE).wait(30)


def test_a_client_is_not_entered_twice() -> None:
    async def main() -> None:
        io = sioproto_asyncio.Server()
        async with io.listening(port=0):
            host, port = io.addresses[0]
            async with sioproto_asyncio.Client(f"http://{host}:{port}") as client:
                with pytest.raises(LocalProtocolError, match="entered already"):
                    async with client:
                        pytest.fail("this was entered twice")
                assert client.connected

    asyncio.run(main())


def test_a_client_is_not_entered_twice_on_threads() -> None:
    io = sioproto_blocking.Server()
    with io.listening(port=0):
        host, port = io.addresses[0]
        with sioproto_blocking.Client(f"http://{host}:{port}") as client:
            with pytest.raises(LocalProtocolError, match="entered already"), client:
                pytest.fail("this was entered twice")
            assert client.connected
