"""What the wheel holds: a package that works without the repository around it."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(_REPOSITORY)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def unpacked(wheel: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(wheel.parent / "site")
    return wheel.parent / "site"


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


@pytest.mark.long
def test_the_demo_runs_from_an_empty_venv(wheel: Path, tmp_path: Path) -> None:
    """What a user does who has no checkout: install the wheel, run the demo. Needs a package index."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"GINGHAM_CACHE": str(tmp_path / "cache")}

    def run(*command: str | Path) -> str:
        done = subprocess.run(command, env=environment, cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout

    run(sys.executable, "-m", "venv", "venv")
    run(tmp_path / "venv/bin/python", "-m", "pip", "install", "--quiet", wheel)
    printed = run(tmp_path / "venv/bin/gingham", "demo", "--out", "demo")
    metrics = json.loads((tmp_path / "demo/metrics.json").read_text())
    assert metrics["mean_class_accuracy"] >= 0.90
    assert "held-out part: mean class accuracy" in printed
    assert (tmp_path / "demo/tagged.png").is_file()
