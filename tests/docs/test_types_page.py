"""The validators that docs/types.md shows do what it says, where their packages are installed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.docs.test_docs import BLOCKS
from tests.virtual import drive_app

VALIDATORS = pytest.mark.parametrize("package", ["msgspec", "pydantic"])


def shown(package: str) -> dict[str, Any]:
    """Returns what the block of a package defines."""
    pytest.importorskip(package, reason=f"{package} is not installed: install the test extra")
    (block,) = [block for block in BLOCKS if block.comment == f"validator: {package}"]
    module: dict[str, Any] = {"__name__": "documented"}
    exec(compile(block.text, block.name, "exec", dont_inherit=True), module)
    return module


@VALIDATORS
def test_a_validator_converts_and_rejects(package: str) -> None:
    module = shown(package)
    driver = drive_app()
    heard: list[Any] = []

    def moved(socket: Any, point: Any, how: str) -> int:
        heard.append((point, how))
        return int(point.x + point.y)

    driver.core.on(module["move"], moved)
    client, socket = driver.join()
    errors: list[str] = []
    socket.on("error", lambda error: errors.append(str(error)))
    client.emit("move", {"x": 1, "y": 2}, "fast", ack=1)
    assert heard == [(module["Point"](x=1, y=2), "fast")]
    wrong: list[tuple[Any, ...]] = [(), ({"x": 1}, "fast"), ({"x": 1, "y": "2"}, "fast"), ({"x": 1, "y": 2}, 5), (1, 2)]
    for ack_id, args in enumerate(wrong):
        client.emit("move", *args, ack=ack_id)
    assert client.take() == ["431[3]", *(f'43{ack_id}[{{"error":"invalid payload"}}]' for ack_id in range(len(wrong)))]
    assert len(heard) == 1
    assert driver.failures == ["InvalidPayload: event 'move' in /"] * len(wrong)
    assert all(error.startswith("'move' came with an invalid payload: ") for error in errors)
    assert len(errors) == len(wrong)


def test_a_struct_is_sent_with_a_dumps_that_knows_it() -> None:
    module = shown("msgspec")
    encode = module["msgspec"].json.encode
    driver = drive_app(hooks={"dumps": lambda value: encode(value).decode()})
    client, socket = driver.join()
    socket.emit(module["move"], module["Point"](x=1, y=2), "fast")
    driver.settle()
    assert client.take() == ['42["move",{"x":1,"y":2},"fast"]']
