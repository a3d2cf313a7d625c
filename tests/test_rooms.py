"""The layout of the package: who may import whom, and who may print."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import microcalc

PACKAGE = Path(__file__).parents[1] / "src" / "microcalc"
ROOMS = [
    "errors",
    "files",
    "config",
    "images",
    "transforms",
    "data",
    "networks",
    "committee",
    "explain",
    "training",
    "evaluation",
    "mammograms",
    "dicom",
    "reader",
    "runs",
    "report",
    "model",
    "app",
    "cli",
]
MODULES = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
NAMES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES
}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> Iterator[str]:
    """Every module of the package that a file imports: at the top, inside functions, and for the type checker alone."""
    for node in ast.walk(MODULES[path]):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports would escape this test"
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                if name.startswith("microcalc."):
                    yield name if name in NAMES else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("microcalc."))


def test_every_module_stands_in_a_room() -> None:
    found = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES} - {"__init__", "__main__"}
    assert found <= set(ROOMS)


def test_a_module_imports_only_from_its_room_and_those_above() -> None:
    place = {name: number for number, name in enumerate(ROOMS)}
    below = [
        (name, module)
        for name, path in NAMES.items()
        for module in imports(path)
        if place.get(room(module), 0) > place.get(room(name), len(ROOMS))
    ]
    assert below == []


def test_only_the_command_line_prints() -> None:
    calls = [(path, node.func) for path, tree in MODULES.items() for node in ast.walk(tree) if type(node) is ast.Call]
    assert [path for path, call in calls if getattr(call, "id", "") == "print" and "cli" not in path.parts] == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: [found for found in imports(path) if found in NAMES] for name, path in NAMES.items()}
    del graph["microcalc"]  # it gives the public names, lazily
    TopologicalSorter(graph).prepare()


def test_the_public_names_are_listed() -> None:
    assert {"Committee", "Data", "Model", "scan", "__version__"} <= set(dir(microcalc))


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys, microcalc.cli; print(sorted({'torch','keras','sklearn','matplotlib','scipy'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
