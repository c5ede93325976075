"""The documentation is true: its programs run, its links lead somewhere, what is generated is fresh.

A comment before a block of Python says what is done with it:

- `<!-- run -->`: it is a program. It runs, and prints what the block of text behind it says, if there is one.
- `<!-- run: import -->`: it is a module. It is executed, but not as the main program.
- `<!-- run: more -->`: it continues the module before it, in the same page.

Every other block of Python is compiled.
"""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import subprocess
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from docs import generate
from sioproto import Recovery
from sioproto_host.options import ClientOptions, Options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "bindings")))}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: what stands in it, where, and the comment right before it."""

    page: Path
    line: int
    language: str
    comment: str
    text: str
    following: Block | None

    @property
    def name(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Returns the fenced blocks of a page in order."""
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    fences = [index for index, line in enumerate(lines) if line.startswith("```")]
    for opening, end in reversed(list(zip(fences[::2], fences[1::2], strict=True))):
        above = lines[opening - 1] if opening else ""
        comment = above.removeprefix("<!--").removesuffix("-->").strip() if above.startswith("<!--") else ""
        text = "".join(f"{line}\n" for line in lines[opening + 1 : end])
        following = found[0] if found else None
        found.insert(0, Block(page, opening + 1, lines[opening][3:], comment, text, following))
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
PROGRAMS = [block for block in PYTHON if block.comment == "run"]
MODULES = [block for block in PYTHON if block.comment in ("run: import", "run: more")]


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.name)
def test_python_compiles(block: Block) -> None:
    compile(block.text, block.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    assert max(map(len, block.text.splitlines())) <= 120


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: block.name)
def test_program_runs(block: Block) -> None:
    output = run_python("-c", block.text)
    if block.following is not None and block.following.language == "text":
        assert output == block.following.text


def test_there_are_programs_and_modules() -> None:
    assert len(PROGRAMS) >= 2
    assert len(MODULES) >= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_run(page: Path) -> None:
    module: dict[str, Any] = {}
    for block in MODULES:
        if block.page != page:
            continue
        if block.comment == "run: import":
            module = {"__name__": "documented"}
        assert module, f"{block.name} continues nothing"
        exec(compile(block.text, block.name, "exec", dont_inherit=True), module)


def test_markers_are_known() -> None:
    comments = {block.comment for block in PYTHON}
    assert {each for each in comments if each.startswith("run")} <= {"run", "run: import", "run: more"}


# What is generated


def test_generated_pages_are_fresh() -> None:
    run_python(str(DOCS / "generate.py"), "--check")


def test_stale_pages_are_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(generate, "states", lambda: "another text")
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().out == "docs/states.md is out of date: run python docs/generate.py\n"


def test_every_option_has_a_text() -> None:
    rows = [line.strip("| ").split(" | ") for line in generate.options().splitlines() if line.startswith("| `")]
    described = {row[0].strip("`") for row in rows if len(row) == 4 and len(row[3]) > 10}
    named = {*Options.__annotations__, *ClientOptions.__annotations__}
    for config, _, _ in generate.CONFIGS:
        named.update(field.name for field in fields(config))
    assert named <= described


def test_every_limit_is_an_option() -> None:
    """A name in the table of limits that looks like an option is one."""
    known = {*Options.__annotations__, *ClientOptions.__annotations__, *(field.name for field in fields(Recovery))}
    text = (DOCS / "limits.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\|[^|]*\|([^|]*)\|", text, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)}
    assert named
    assert named <= known


# Links


def slug(heading: str) -> str:
    """Returns the anchor that a heading gets on the usual hosts of repositories."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors_of(page: Path) -> set[str]:
    lines = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE).splitlines()
    return {slug(line.lstrip("# ")) for line in lines if line.startswith("#")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        found = page.parent / name if name else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors_of(found), f"{page.name} links to {target}"


# The examples


def output_of(example: str) -> str:
    """Returns what the documentation says that an example prints."""
    (shown,) = [block.text for block in BLOCKS if block.comment == f"output: examples/{example}"]
    return shown


def test_no_network_prints_what_the_docs_say() -> None:
    assert run_python(str(DOCS / "examples" / "no_network.py")) == output_of("no_network.py")


def test_own_client_prints_what_the_docs_say() -> None:
    program = str(DOCS / "examples" / "own_client.py")
    with own_loop() as port:
        # More than once, because the upgrade runs beside it.
        for _ in range(3):
            assert run_python("-W", "error", program, f"http://127.0.0.1:{port}") == output_of("own_client.py")


def test_own_loop_serves_polling() -> None:
    with own_loop() as port, closing(PollingClient(port)) as client:
        client.send("0")
        assert client.receive()[0].startswith('0{"sid":')
        client.send('20["say","hello"]')
        assert client.receive(2) == ['2["said","hello"]', '30["HELLO"]']


def test_own_loop_serves_a_real_client(python_socketio: ModuleType) -> None:
    text = "x" * 200_000  # more than a socket takes at once

    async def talk(port: int) -> None:
        async with python_socketio.AsyncSimpleClient() as client:
            await client.connect(f"http://127.0.0.1:{port}")
            for _ in range(5):
                assert await client.call("say", text) == text.upper()
                assert await client.receive(60) == ["said", text]

    with own_loop() as port:
        asyncio.run(asyncio.wait_for(talk(port), 180))


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "guide.md"], ids=lambda page: page.name)
def test_first_program_serves(page: Path) -> None:
    program = next(block for block in MODULES if block.page == page)
    module: dict[str, Any] = {"__name__": "documented"}
    exec(compile(program.text, program.name, "exec", dont_inherit=True), module)
    io = module["io"]

    def talk(port: int) -> None:
        with closing(PollingClient(port)) as one, closing(PollingClient(port)) as other:
            for client in (one, other):
                client.send("0")
                assert client.receive()[0].startswith("0")
            one.send('20["say","hello"]')
            assert one.receive() == ['30[{"ok":true}]']
            assert other.receive()[0].endswith(',"hello"]')
            one.send('21["enter","attic"]')
            entered, answer = one.receive(2)
            assert entered.startswith('2["entered","attic",')
            assert answer.startswith("31[[")
            assert '"attic"' in answer

    async def main() -> None:
        async with io.listening(port=0):
            await asyncio.to_thread(talk, io.addresses[0][1])

    asyncio.run(asyncio.wait_for(main(), 180))


class PollingClient:
    """A Socket.IO client of a few lines: what it sends and receives are packets of Socket.IO."""

    def __init__(self, port: int) -> None:
        self._http = HTTPConnection("127.0.0.1", port, timeout=60)
        self._target = "/socket.io/?EIO=4&transport=polling"
        self._target += "&sid=" + json.loads(self._request("GET")[1:])["sid"]

    def send(self, message: str) -> None:
        assert self._request("POST", "4" + message) == "ok"

    def receive(self, count: int = 1) -> list[str]:
        """Returns so many messages."""
        found: list[str] = []
        while len(found) < count:
            found += [packet[1:] for packet in self._request("GET").split("\x1e") if packet[0] == "4"]
        assert len(found) == count
        return found

    def close(self) -> None:
        self._http.close()

    def _request(self, method: str, body: str | None = None) -> str:
        self._http.request(method, self._target, body)
        response = self._http.getresponse()
        text = response.read().decode()
        assert response.status == 200, text
        return text


@contextmanager
def own_loop() -> Iterator[int]:
    """Runs the example on a free port."""
    program = str(DOCS / "examples" / "own_loop.py")
    with subprocess.Popen(
        [sys.executable, "-W", "error", program, "0"], stdout=subprocess.PIPE, encoding="utf-8", env=ENVIRONMENT
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.kill()


def run_python(*arguments: str) -> str:
    """Runs a program to its end, which has to be a good one, and returns what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return done.stdout
