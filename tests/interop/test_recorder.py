"""The conversations of ``tests/wire`` recorded anew: whoever speaks today is understood as whoever spoke then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.interop.recorder import FOLDER, SCENES, record
from tests.wire.conversation import Conversation, replay

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.stock import Stock


async def check(name: str, stock: Stock | None, folder: Path) -> None:
    """Records a scene, writes it, and compares it with the one that is kept."""
    (await record(name, stock)).save(folder / name)
    fresh, kept = Conversation.load(folder / name), Conversation.load(FOLDER / f"{name}.json")
    assert fresh.events == kept.events
    assert replay(fresh).events == kept.events


@pytest.mark.parametrize("name", [name for name in SCENES if name.startswith("own-")])
async def test_our_own_conversations(name: str, tmp_path: Path) -> None:
    await check(name, None, tmp_path)


@pytest.mark.parametrize("name", [name for name in SCENES if name.startswith("stock-")])
async def test_conversations_of_the_stock_client(name: str, stock: Stock, tmp_path: Path) -> None:
    await check(name, stock, tmp_path)


def test_every_scene_is_kept() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == sorted(SCENES)
