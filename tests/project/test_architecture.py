"""The rules of the house (docs/architecture.md) that a program can check."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# A room imports from itself and from rooms before it.
ROOMS = (
    "config",
    "scene",
    "gaussians",
    "render",
    "metrics",
    "motion",
    "frame0",
    "prepare",
    "stream",
    "geometry",
    "monocular",
    "fvv",
    "serve",
    "training",
    "building",
    "cli",
)

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

# "path" or "path:function" to the reason why it may be longer. Empty is best.
LONG_FOR_A_REASON: dict[str, str] = {}

PRINTING_PLACES = ("igs/cli/", "bench/", "examples/", "script/")


def is_source(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    skipped = {"build", "dist", "tests", "outputs"}
    return not any(part in skipped or part.startswith(".") for part in parts)


def python_files(*folders: str) -> list[Path]:
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if is_source(path))


LIBRARY = python_files("igs", "submodules")
PROGRAMS = [*python_files("bench", "examples", "script"), *sorted(ROOT.glob("*.py"))]
IGS = python_files("igs")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def every_file(paths: list[Path]):
    return pytest.mark.parametrize("path", paths, ids=name_of)


def imported_modules(path: Path) -> Iterator[str]:
    """Absolute names of everything a file imports, also inside functions and TYPE_CHECKING."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "igs" and len(parts) > 1 and parts[1] in ROOMS else None


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call))


def length_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring, which is welcome to be long."""
    first = function.body[0]
    docstring = 0
    if ast.get_docstring(function) is not None:
        docstring = (first.end_lineno or first.lineno) - first.lineno + 1
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


def test_every_room_has_its_place():
    found = {path.relative_to(ROOT / "igs").parts[0].removesuffix(".py") for path in IGS}
    strangers = found - set(ROOMS) - {"__init__"}
    assert not strangers, f"no place in docs/architecture.md and in ROOMS here: {strangers}"


def test_the_plan_names_the_rooms_in_this_order():
    plan = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    lines = [line for line in plan.splitlines() if line.startswith("`config") and "→" in line]
    assert len(lines) == 1, "docs/architecture.md must hold the one line with the order of rooms"
    words = lines[0].replace("`", " ").replace("·", " ").replace("→", " ").split()
    assert tuple(words) == ROOMS


@every_file(IGS)
def test_imports_point_one_way(path: Path):
    parts = path.relative_to(ROOT / "igs").parts
    room = parts[0].removesuffix(".py")
    if room == "__init__":
        assert not [m for m in imported_modules(path) if room_of(m)], (
            "igs/__init__.py imports a room"
        )
        return
    allowed = ROOMS[: ROOMS.index(room) + 1]
    for module in imported_modules(path):
        target = room_of(module)
        assert target is None or target in allowed, f"{room} imports {module}: to its right"


@every_file(python_files("submodules"))
def test_submodules_do_not_know_igs(path: Path):
    assert not [m for m in imported_modules(path) if m.split(".")[0] == "igs"]


@every_file(LIBRARY)
def test_library_habits(path: Path):
    """No .cuda(), no print, no process exit, no command line below igs/cli."""
    at_the_rim = name_of(path).startswith(PRINTING_PLACES)
    for call in calls(path):
        where = f"{name_of(path)}:{call.lineno}"
        function = call.func
        if isinstance(function, ast.Attribute):
            assert function.attr != "cuda", f"{where}: .cuda(); follow the device of the inputs"
            name = (
                f"{function.value.id}.{function.attr}"
                if isinstance(function.value, ast.Name)
                else ""
            )
            assert at_the_rim or name != "sys.exit", f"{where}: sys.exit below igs/cli"
        elif isinstance(function, ast.Name):
            allowed = at_the_rim or function.id not in {"print", "exit", "quit"}
            assert allowed, f"{where}: {function.id}() below igs/cli"
    if not at_the_rim:
        assert "argparse" not in {m.split(".")[0] for m in imported_modules(path)}, name_of(path)


@every_file(LIBRARY + PROGRAMS)
def test_every_file_habits(path: Path):
    """No bare except, no wildcard import, nothing too long to read."""
    for node in ast.walk(tree_of(path)):
        where = f"{name_of(path)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{where}: bare except"
        if isinstance(node, ast.ImportFrom):
            assert all(alias.name != "*" for alias in node.names), f"{where}: wildcard import"
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = length_of(node)
            excused = f"{name_of(path)}:{node.name}" in LONG_FOR_A_REASON
            assert excused or lines <= MAX_FUNCTION_LINES, f"{where}: {node.name} has {lines} lines"
    lines = path.read_text(encoding="utf-8").count("\n")
    excused = name_of(path) in LONG_FOR_A_REASON
    assert excused or lines <= MAX_FILE_LINES, f"{name_of(path)}: {lines} lines"


def test_excuses_are_still_needed():
    for entry, reason in LONG_FOR_A_REASON.items():
        assert reason, f"{entry}: give the reason"
        assert (ROOT / entry.split(":")[0]).is_file(), f"{entry}: no such file any more"
