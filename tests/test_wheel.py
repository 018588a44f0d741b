"""What the wheel holds: a package that works without the repository around it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(_REPOSITORY)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def _run(site: Path, code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=site, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_recipes_schemas_and_types_are_inside(unpacked: Path) -> None:
    names = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    for resource in (_REPOSITORY / "src/gingham/resources").rglob("*.yaml"):
        assert resource.relative_to(_REPOSITORY / "src").as_posix() in names
    assert "gingham/py.typed" in names
    assert not any(name.startswith(("tests", "docs")) for name in names)


def test_it_runs_from_there(unpacked: Path) -> None:
    """Resources are found, and garments drawn, where there is nothing but the wheel."""
    code = (
        "import gingham; from gingham.training.recipe import load_recipe; from gingham.wardrobe import garment;"
        "print(gingham.__file__); print(load_recipe('wardrobe').train.epochs);"
        "print(gingham.AttributeSchema.builtin('deepfashion').total); print(garment(0, 1).picture.image.size)"
    )
    lines = _run(unpacked, code).splitlines()
    assert Path(lines[0]).is_relative_to(unpacked)
    assert lines[2:] == ["26", "(300, 300)"]
