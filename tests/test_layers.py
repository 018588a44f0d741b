"""The layers of docs/architecture.md: every module is in the list, and imports only from those before it."""

import ast
import functools
import re
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parent.parent
_SOURCE = _REPOSITORY / "src" / "gingham"
_PAGE = _REPOSITORY / "docs" / "architecture.md"
_TORCH = {"torch", "torchvision", "timm", "accelerate", "safetensors"}
_NO_TORCH = ("gingham.data", "gingham.report", "gingham.wardrobe", "gingham.evaluation")


@functools.cache
def modules() -> dict[str, Path]:
    """Dotted name -> file; a package's `__init__.py` has the package's name."""
    found = {}
    for file in sorted(_SOURCE.rglob("*.py")):
        parts = file.relative_to(_SOURCE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def listed() -> list[str]:
    """The modules of the page's list, in order; a package itself comes after its modules."""
    section = _PAGE.read_text(encoding="utf-8").partition("\n## Layers\n")[2].partition("\n## ")[0]
    order: list[str] = []
    package = ""
    for line in section.splitlines():
        if not line.startswith("    "):
            continue
        words = line.partition("#")[0].split()
        if words[0].endswith("/"):
            order += [package] if package else []
            package = f"gingham.{words.pop(0).removesuffix('/')}"
        elif not line.startswith("     "):
            order += [package] if package else []
            package = ""
        order += [f"{package or 'gingham'}.{word}" for word in words]
    return order + ([package] if package else [])


@functools.cache
def imports(name: str, file: Path) -> set[str]:
    """The dotted names that a module imports anywhere in it, but for those that only type checkers see."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative imports hide where things come from"
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(file.read_text(encoding="utf-8")))
    return found


def own(name: str, file: Path) -> set[str]:
    """The modules of Gingham that a module imports; not the package `gingham` itself, which imports none."""
    return {imported for imported in imports(name, file) if imported in modules()} - {"gingham", name}


def test_the_list_names_every_module_once() -> None:
    order = listed()
    assert len(order) == len(set(order))
    # `gingham/__init__.py` is above them all; `resources` holds no module.
    missing, gone = modules().keys() - {"gingham", *order}, {*order} - {"gingham.resources", *modules()}
    assert not missing, f"add to the list of {_PAGE.name}: {sorted(missing)}"
    assert not gone, f"remove from the list of {_PAGE.name}: {sorted(gone)}"


def test_every_module_imports_only_from_those_before_it() -> None:
    order = listed()
    wrong = [
        f"{name} imports {imported}, which is not before it in the list"
        for name in order
        if name in modules()
        for imported in sorted(own(name, modules()[name]))
        if imported not in order[: order.index(name)]
    ]
    assert not wrong, "\n".join(wrong)


def test_the_package_itself_imports_nothing_before_it_is_asked() -> None:
    assert own("gingham", modules()["gingham"]) == set()


@pytest.mark.parametrize("package", _NO_TORCH)
def test_some_packages_do_not_know_torch(package: str) -> None:
    """Neither by themselves nor through what they import."""
    found = modules()
    waiting = [name for name in found if name.startswith(package)]
    assert waiting
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        heavy = {imported.partition(".")[0] for imported in imports(name, found[name])} & _TORCH
        assert not heavy, f"{name} imports {heavy}"
        waiting += own(name, found[name])


def test_rich_is_known_to_tables_and_the_command_line_only() -> None:
    users = {
        name
        for name, file in modules().items()
        if any(imported.partition(".")[0] == "rich" for imported in imports(name, file))
    }
    assert {name for name in users if not name.startswith("gingham.cli.")} == {"gingham.evaluation.tables"}


def test_pickle_is_read_in_one_place() -> None:
    pattern = re.compile(r"\btorch\.load\(|\bpickle\.loads?\(|allow_pickle=True")
    places = [name for name, file in modules().items() if pattern.search(file.read_text(encoding="utf-8"))]
    assert places == ["gingham.models.tensors"]
