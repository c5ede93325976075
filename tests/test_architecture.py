"""The laws of the house that a machine can check: a pure core, floors without circles, small modules, a named surface.

Every rule is a function from modules to breaches, tried below on a few bad lines of its own, so that a rule which sees
nothing is found out too. The source is read as a tree and never imported, except to look at the public names.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import textwrap
from collections import Counter
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
CORE = "sioproto"

# From the lowest floor to the highest. The modules of the ground floor stand in order themselves: each may import those
# before it. Every other floor is a package, whose modules may import each other as long as that forms no circle.
GROUND = ("errors", "environment", "config", "timers", "guard", "pending", "event", "handlers", "frame")
FLOORS = ("engineio", "socketio", "cluster", "app", "testing")
TESTING = f"{CORE}.testing"

# What the core may not import. Testing tools of the core are no exception, but for pytest.
IMPURE = frozenset(
    # clocks, chance and waiting
    {"random", "sched", "secrets", "time", "uuid"}
    # I/O, of the standard library and of others
    | {
        "ftplib",
        "http.client",
        "http.server",
        "os",
        "select",
        "selectors",
        "shutil",
        "signal",
        "smtplib",
        "socket",
    }
    | {"socketserver", "ssl", "subprocess", "tempfile", "urllib.request", "h11", "wsproto"}
    # runtimes and threads
    | {"_thread", "anyio", "asyncio", "concurrent", "curio", "multiprocessing", "queue", "threading", "trio"}
    # reporting on its own, reaching around this list
    | {"ctypes", "importlib", "logging"}
)
IMPURE_CALLS = frozenset({"__import__", "breakpoint", "eval", "exec", "input", "open", "print"})
CLOCKS = frozenset({"now", "today", "utcnow"})

# What every binding may build on, besides the core. The wire does no I/O either; the host belongs to no runtime.
SHARED_BINDINGS = frozenset({"sioproto_wire", "sioproto_host"})
RUNTIMES = frozenset({"anyio", "asyncio", "curio", "selectors", "trio"})
# What runs other people's tests.
TEST_TOOLS = frozenset({"sioproto_pytest"})
IO_MODULES = RUNTIMES | {"socket", "ssl", "subprocess", "threading"}

CORE_LINES = 450
BINDING_LINES = 400

# Where real time passes, so that waiting for it may be needed.
REAL_TIME = ("bindings", "interop", "bench")


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name: ``from a.b import c`` gives the module ``a.b`` and the name ``c``."""

    module: str
    name: str | None
    line: int
    typing_only: bool

    @property
    def root(self) -> str:
        return self.module.partition(".")[0]

    @property
    def dotted(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


class Module:
    """A module's source: its dotted name, its tree and what it imports."""

    def __init__(self, name: str, source: str, *, is_package: bool = False) -> None:
        self.name = name
        self.is_package = is_package
        self.lines = source.count("\n")
        self.tree = ast.parse(source)
        self.imports = list(imports_of(self.tree, name if is_package else name.rpartition(".")[0]))

    def breach(self, line: int, text: str) -> str:
        return f"{self.name}, line {line}: {text}"


def read(folder: Path, *, below: Path) -> list[Module]:
    """Returns the modules in a folder, named by their path below another."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(below).with_suffix("").parts
        if "node_modules" in parts:
            continue
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        found.append(Module(name, path.read_text(encoding="utf-8"), is_package=is_package))
    return found


def imports_of(tree: ast.AST, package: str) -> Iterator[Import]:
    """Yields every import, wherever it stands, with relative ones made absolute."""
    for node, typing_only in walk(tree, typing_only=False):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, node.lineno, typing_only)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                parts = package.split(".")
                above = ".".join(parts[: len(parts) - (node.level - 1)])
                module = f"{above}.{module}" if module else above
            for alias in node.names:
                yield Import(module, alias.name, node.lineno, typing_only)


def walk(node: ast.AST, *, typing_only: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Yields every node and whether only a type checker ever reads it."""
    yield node, typing_only
    guarded: list[ast.stmt] = []
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        guarded = node.body
    for child in ast.iter_child_nodes(node):
        yield from walk(child, typing_only=typing_only or child in guarded)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def target(imported: Import, names: frozenset[str]) -> str:
    """Returns the module that an import reaches: ``from a import b`` reaches ``a.b`` where that is a module."""
    return imported.dotted if imported.dotted in names else imported.module


# -- purity


def impure(module: Module) -> Iterator[str]:
    """The core depends on nothing but the standard library, and on no clock, chance or I/O in that."""
    allowed = {CORE, "pytest"} if within(module.name, TESTING) else {CORE}
    for imported in module.imports:
        if any(within(imported.dotted, name) for name in IMPURE):
            yield module.breach(imported.line, f"imports {imported.dotted}")
        elif imported.root not in allowed and imported.root not in sys.stdlib_module_names:
            yield module.breach(imported.line, f"imports {imported.root}, which the standard library lacks")
    yield from impure_names(module)


def impure_names(module: Module) -> Iterator[str]:
    """Finds I/O that needs no import, handed on as well as called, and the clocks of `datetime`."""
    aliases = {
        alias.asname or alias.name
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "datetime"
        for alias in node.names
        if alias.name in ("date", "datetime")
    }
    for node in ast.walk(module.tree):
        # A variable of one of these names would shadow a builtin, which the linter refuses: it is always the builtin.
        if isinstance(node, ast.Name) and node.id in IMPURE_CALLS:
            yield module.breach(node.lineno, f"uses {node.id}")
        elif isinstance(node, ast.Attribute) and node.attr in CLOCKS:
            owner = node.value
            if (isinstance(owner, ast.Name) and owner.id in aliases) or (
                isinstance(owner, ast.Attribute) and owner.attr in ("date", "datetime")
            ):
                yield module.breach(node.lineno, f"reads the clock with {ast.unparse(node)}")


# -- floors


def floor_of(name: str) -> tuple[int, int] | None:
    """Returns the floor of a core module and its place on the ground floor; `None` where it has no floor."""
    if name == CORE:
        return len(FLOORS) + 1, 0
    part = name.split(".")[1]
    if part in GROUND:
        return 0, GROUND.index(part)
    if part in FLOORS:
        return FLOORS.index(part) + 1, 0
    return None


def climbing(modules: Iterable[Module]) -> Iterator[str]:
    """A module imports from lower floors and from its own, never from above. Types count: they are knowledge too."""
    modules = list(modules)
    names = frozenset(module.name for module in modules)
    for module in modules:
        floor = floor_of(module.name)
        if floor is None:
            yield module.breach(1, "is on no floor: give it a place in the lists of this test")
            continue
        for imported in module.imports:
            if imported.root != CORE:
                continue
            reached = target(imported, names)
            below = floor_of(reached)
            # Without a place it is either reported by itself, or no module at all, which the type checker reports.
            if below is not None and below > floor:
                yield module.breach(imported.line, f"imports {reached}, which is above it")


def circles(modules: Iterable[Module]) -> Iterator[str]:
    """No import leads back to where it came from. What only a type checker reads may: it is never loaded."""
    modules = list(modules)
    names = frozenset(module.name for module in modules)
    graph = {
        module.name: {
            reached
            for imported in module.imports
            if not imported.typing_only and (reached := target(imported, names)) in names
        }
        for module in modules
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        # The sorter tells the way from the imported to the importing module.
        yield f"imports form a circle: {' -> '.join(reversed(error.args[1]))}"


def trespassing(module: Module) -> Iterator[str]:
    """A binding builds on the core and on what all bindings share, never on another runtime's binding."""
    own = module.name.partition(".")[0]
    for imported in module.imports:
        if within(imported.dotted, TESTING) and own not in TEST_TOOLS:
            yield module.breach(imported.line, f"imports {imported.dotted}, which is for tests")
        elif imported.root.startswith(f"{CORE}_") and imported.root not in SHARED_BINDINGS | {own}:
            yield module.breach(imported.line, f"imports {imported.root}, another binding")
        elif own == "sioproto_wire" and imported.root in IO_MODULES | {"sioproto_host"}:
            yield module.breach(imported.line, f"imports {imported.root}, but the wire does no I/O")
        elif own == "sioproto_host" and imported.root in RUNTIMES:
            yield module.breach(imported.line, f"imports {imported.root}, but the host is that of every runtime")


# -- sizes


def too_long(module: Module) -> Iterator[str]:
    """A long module has more than one reason to exist."""
    if module.lines > CORE_LINES:
        yield f"{module.name}: {module.lines} lines, more than {CORE_LINES}"


def too_large(modules: Sequence[Module]) -> Iterator[str]:
    """A long binding holds what belongs into the core: all its modules count together."""
    sizes: Counter[str] = Counter()
    for module in modules:
        sizes[module.name.partition(".")[0]] += module.lines
    for name, lines in sizes.items():
        if name not in SHARED_BINDINGS and lines > BINDING_LINES:
            yield f"{name}: {lines} lines, more than {BINDING_LINES}"


# -- the public surface


def unlisted(module: Module) -> Iterator[str]:
    """A package that imports or defines something says in ``__all__`` what of it is public."""
    if not module.is_package or not any(not isinstance(node, ast.Expr) for node in module.tree.body):
        return
    assigned = {
        name.id
        for node in module.tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for name in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(name, ast.Name)
    }
    if "__all__" not in assigned:
        yield f"{module.name}: lists no __all__"


def undocumented(package: str, surface: dict[str, object]) -> Iterator[str]:
    """Every public name exists, and every public class and function says what it is."""
    listed = surface.get("__all__", ())
    assert isinstance(listed, list | tuple)
    for name in listed:
        if name not in surface:
            yield f"{package}: {name} is listed in __all__ but does not exist"
            continue
        value = surface[name]
        if inspect.isclass(value):
            text = vars(value).get("__doc__")  # its own: an inherited one says what something else is
        elif inspect.isroutine(value):
            text = value.__doc__
        else:
            continue
        # A dataclass without a docstring gets its signature as one.
        if not text or text.startswith(f"{value.__name__}("):
            yield f"{package}: {name} has no docstring"


# -- time in tests


REAL_SLEEPS = frozenset({"sleep"} | {f"{runtime}.sleep" for runtime in ("time", "asyncio", "curio", "anyio", "trio")})


def sleeping(module: Module) -> Iterator[str]:
    """A test waits for what it wants to see, or moves a virtual clock; only where real time passes may it sleep."""
    if any(within(module.name, f"tests.{folder}") for folder in REAL_TIME):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            # A server's own sleep is on its clock, which a test moves by hand; no time passes in asyncio.sleep(0).
            if called in REAL_SLEEPS and not ast.unparse(node).endswith("(0)"):
                yield module.breach(node.lineno, f"sleeps, which only tests/{', tests/'.join(REAL_TIME)} may")


# -- the tree, as it is


def core() -> list[Module]:
    return read(ROOT / CORE, below=ROOT)


def bindings() -> list[Module]:
    return read(ROOT / "bindings", below=ROOT / "bindings")


def none(breaches: Iterable[str]) -> None:
    found = list(breaches)
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def test_the_tree_is_read() -> None:
    assert f"{CORE}.errors" in {module.name for module in core()}
    there = {path.parent.name for path in (ROOT / "bindings").glob("*/__init__.py")}
    assert {module.name for module in bindings() if "." not in module.name} == there
    assert __name__ in {module.name for module in read(ROOT / "tests", below=ROOT)}


def test_the_core_is_pure() -> None:
    none(breach for module in core() for breach in impure(module))


def test_no_module_imports_from_a_floor_above() -> None:
    none(climbing(core()))


def test_imports_form_no_circle() -> None:
    none(circles(core() + bindings()))


def test_bindings_keep_apart() -> None:
    none(breach for module in bindings() for breach in trespassing(module))


def test_modules_are_small() -> None:
    none(breach for module in core() + bindings() for breach in too_long(module))


def test_bindings_are_small() -> None:
    none(too_large(bindings()))


def test_packages_list_their_public_names() -> None:
    none(breach for module in core() + bindings() for breach in unlisted(module))


@pytest.mark.parametrize("package", [module.name for module in core() + bindings() if module.is_package])
def test_public_names_exist_and_have_docstrings(package: str) -> None:
    try:
        found = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith(CORE):
            raise
        pytest.skip(f"{package} needs {error.name}: install its extra")
    none(undocumented(package, vars(found)))


def test_every_package_is_marked_as_typed() -> None:
    tops = [ROOT / CORE, *(path.parent for path in sorted((ROOT / "bindings").glob("*/__init__.py")))]
    assert [path.name for path in tops if not (path / "py.typed").is_file()] == []


def test_tests_do_not_sleep() -> None:
    none(breach for module in read(ROOT / "tests", below=ROOT) for breach in sleeping(module))


# -- the rules, on lines that break them


def snippet(source: str, name: str = "sioproto.engineio.sample") -> Module:
    return Module(name, textwrap.dedent(source))


@pytest.mark.parametrize(
    "source",
    [
        *(f"import {name}" for name in sorted(IMPURE)),
        "import os.path",
        "from os import path",
        "from http import client",
        "import json, time as clock",
        "from time import monotonic",
        "from concurrent.futures import Future",
        "def late():\n    import random",
        "if TYPE_CHECKING:\n    from asyncio import Future",
        "import msgspec",
        "import pytest",
        "from sioproto_wire import wire",
        "print(1)",
        "def f(say=print): ...",
        "open('x')",
        "eval('1')",
        "exec('1')",
        "input()",
        "breakpoint()",
        "__import__('time')",
        "import datetime\ndatetime.datetime.now()",
        "import datetime as dt\nx = dt.date.today",
        "from datetime import datetime\ndatetime.utcnow()",
        "from datetime import datetime as moment\nmoment.now()",
    ],
)
def test_impurity_is_caught(source: str) -> None:
    assert list(impure(snippet(source)))


@pytest.mark.parametrize(
    "source",
    [
        "import json, heapq, base64, hashlib",
        "from http import HTTPStatus",
        "from urllib.parse import quote",
        "from __future__ import annotations",
        "from sioproto.errors import ProtocolError",
        "from . import packet",
        "from ..errors import ProtocolError",
        "from datetime import datetime, timezone\ndatetime.fromtimestamp(0, timezone.utc)",
        "environment.clock(); self.open(); session.now()",
    ],
)
def test_purity_is_left_alone(source: str) -> None:
    assert list(impure(snippet(source))) == []


def test_only_the_test_tools_may_import_pytest() -> None:
    assert list(impure(snippet("import pytest", "sioproto.testing.plugin"))) == []
    assert list(impure(snippet("import asyncio", "sioproto.testing.plugin")))
    assert list(impure(snippet("import pytest", "sioproto.testings")))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("sioproto.errors", "import sioproto.config"),
        ("sioproto.timers", "from sioproto.pending import Pending"),
        ("sioproto.timers", "from sioproto import pending"),
        ("sioproto.frame", "from sioproto.engineio.packet import Packet"),
        ("sioproto.frame", "from .engineio import packet"),
        ("sioproto.engineio.server", "from sioproto.socketio import Socket"),
        ("sioproto.engineio.server", "def late():\n    from ..app import Server"),
        ("sioproto.engineio.server", "if TYPE_CHECKING:\n    from sioproto.app import Server"),
        ("sioproto.engineio.server", "from sioproto import Server"),
        ("sioproto.app.server", "from sioproto.testing import World"),
        ("sioproto.stray", ""),
    ],
)
def test_climbing_is_caught(name: str, source: str) -> None:
    pending = snippet("", "sioproto.pending")
    assert len(list(climbing([snippet(source, name), pending]))) == 1


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("sioproto.pending", "from sioproto.errors import LocalProtocolError"),
        ("sioproto.engineio.server", "from sioproto import timers"),
        ("sioproto.engineio.server", "from sioproto.engineio.session import Session"),
        ("sioproto.socketio.server", "from sioproto.engineio import Server"),
        ("sioproto.testing.world", "from sioproto.app import Server"),
        ("sioproto", "from sioproto.testing import World"),
    ],
)
def test_descending_is_left_alone(name: str, source: str) -> None:
    assert list(climbing([snippet(source, name), snippet("", "sioproto.timers")])) == []


def test_a_circle_is_caught() -> None:
    first = snippet("from sioproto.engineio import second", "sioproto.engineio.first")
    second = snippet("def late():\n    from .third import x", "sioproto.engineio.second")
    third = snippet("import sioproto.engineio.first", "sioproto.engineio.third")
    (said,) = circles([first, second, third])
    way = said.removeprefix("imports form a circle: ").split(" -> ")
    assert way[0] == way[-1]
    assert "sioproto.engineio.first -> sioproto.engineio.second" in said


def test_a_module_that_imports_its_own_package_is_a_circle() -> None:
    package = Module("sioproto.app", "from .server import Server", is_package=True)
    server = snippet("from sioproto.app import Client", "sioproto.app.server")
    assert list(circles([package, server]))


def test_types_alone_form_no_circle() -> None:
    first = snippet("from . import second", "sioproto.engineio.first")
    second = snippet("if TYPE_CHECKING:\n    from . import first", "sioproto.engineio.second")
    assert list(circles([first, second])) == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("sioproto_asyncio.server", "from sioproto_curio import Server"),
        ("sioproto_wire.http", "import sioproto_asyncio"),
        ("sioproto_wire.http", "import socket"),
        ("sioproto_wire.http", "from sioproto_host import Options"),
        ("sioproto_host.hosted", "import sioproto_asyncio"),
        ("sioproto_host.hosted", "import asyncio"),
        ("sioproto_asyncio.server", "from sioproto import testing"),
    ],
)
def test_trespassing_is_caught(name: str, source: str) -> None:
    assert len(list(trespassing(snippet(source, name)))) == 1


def test_what_bindings_share_is_left_alone() -> None:
    source = "import asyncio, sioproto\nfrom sioproto_wire import Wire\nfrom sioproto_asyncio.server import Server"
    assert list(trespassing(snippet(source, "sioproto_asyncio"))) == []
    assert list(trespassing(snippet("from sioproto.testing import World", "sioproto_pytest"))) == []


@pytest.mark.parametrize("name", ["sioproto.app.server", "sioproto_wire.http"])
def test_a_long_module_is_caught(name: str) -> None:
    assert list(too_long(snippet("x = 1\n" * CORE_LINES, name))) == []
    assert len(list(too_long(snippet("x = 1\n" * (CORE_LINES + 1), name)))) == 1


def test_a_large_binding_is_caught() -> None:
    server, runtime = (snippet("x = 1\n" * 200, f"sioproto_asyncio.{name}") for name in ("server", "runtime"))
    wire = snippet("x = 1\n" * 450, "sioproto_wire.http")
    assert list(too_large([server, runtime, wire])) == []
    assert len(list(too_large([server, runtime, wire, snippet("x = 1\n", "sioproto_asyncio")]))) == 1


def test_a_package_without_a_list_is_caught() -> None:
    assert list(unlisted(Module("sioproto.app", "from .server import Server", is_package=True)))
    assert list(unlisted(Module("sioproto.app", "__all__ = ['x']\nx = 1", is_package=True))) == []
    assert list(unlisted(Module("sioproto.app", '"""Words alone."""', is_package=True))) == []
    assert list(unlisted(snippet("x = 1"))) == []


def test_a_public_name_without_docstring_is_caught() -> None:
    surface: dict[str, object] = {}
    source = '''
    from dataclasses import dataclass

    class Told:
        """Says what it is."""

    class Heir(Told): ...

    @dataclass
    class Record:
        x: int

    def told():
        """Says what it does."""

    def mute(): ...

    LIMIT = 3
    __all__ = ["LIMIT", "Absent", "Heir", "Record", "Told", "mute", "told"]
    '''
    exec(compile(textwrap.dedent(source), "sample", "exec", dont_inherit=True), surface)
    assert [breach.split()[1] for breach in undocumented("sample", surface)] == [
        "Absent",
        "Heir",
        "Record",
        "mute",
    ]


def test_a_sleeping_test_is_caught() -> None:
    nap = "sl" + "eep"  # in two pieces, because a plain search for the word should not find this file
    for source in (f"time.{nap}(1)", f"async def f():\n    await asyncio.{nap}(1)", f"{nap}(1)"):
        assert list(sleeping(snippet(source, "tests.engineio.test_server")))
        assert list(sleeping(snippet(source, "tests.test_server")))
        assert list(sleeping(snippet(source, "tests.bindings.test_server"))) == []
    assert list(sleeping(snippet(f"async def f():\n    await io.{nap}(1)", "tests.test_server"))) == []
    assert list(sleeping(snippet(f"def {nap}(): ...", "tests.test_server"))) == []
