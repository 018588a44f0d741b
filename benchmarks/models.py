"""The models that benchmarks run, made once: the recipes' networks with random weights, and what they export to.

How fast a network is does not depend on what it has learned. `laptop` has the ImageNet weights of its package and a
random head; `swin` (the recipe `report`: Query2Label on Swin-L) is random. Both see each photo once, without the
mirrored view.
"""

import functools
import hashlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from benchmarks.photos import labelled, wardrobe
from gingham.storage import write_text

__all__ = ["EXPORTS", "NAMES", "Export", "exports", "plain"]

NAMES = {"laptop": "EfficientNet-Lite0 + linear head", "swin": "Query2Label on Swin-L"}

EXPORTS = (
    ("torch", "fp32"),
    ("torch", "bf16"),
    ("onnx", "fp32"),
    ("onnx", "int8"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
)
"""Each runtime and precision that `gingham export` has."""

_RECIPES = {"laptop": "laptop", "swin": "report"}
_REPOSITORY = Path(__file__).resolve().parent.parent
_LIBRARIES = ("torch", "timm", "onnx", "onnxruntime", "openvino", "nncf")


def plain(name: str, folder: Path) -> Path:
    """The bundle of a network as training would leave it, made where it is missing.

    Args:
        name: `laptop` or `swin`.
        folder: of all models. A bundle that is there already is taken, so it may be a trained one; it must look at
            each photo once.
    """
    place = folder / name
    if not (place / "config.json").is_file():
        _write(name, place)
    return place.resolve()


def _write(name: str, place: Path) -> None:
    import torch

    from gingham.data.options import DataOptions
    from gingham.data.test_time import TestTime
    from gingham.inference.card import model_card
    from gingham.inference.member import Member
    from gingham.inference.save import write_bundle
    from gingham.models.network import build_network
    from gingham.models.weights import input_statistics
    from gingham.schema import AttributeSchema
    from gingham.training.recipe import load_recipe

    recipe = load_recipe(_RECIPES[name])
    model = recipe.model
    # Swin-L's weights are on a hub that may be out of reach; random ones are as fast.
    model = model.model_copy(update={"weights": "none"}) if model.weights == "hub" else model
    mean, std = input_statistics(model.backbone, model.weights)
    member = Member(
        model=model,
        preprocess=recipe.preprocess.model_copy(update={"mean": mean, "std": std}),
        test_time=TestTime(),
    )
    schema = AttributeSchema.builtin("deepfashion")
    torch.manual_seed(0)
    network = build_network(model, schema, image_size=member.preprocess.size, mean=mean, std=std).eval()
    # Nothing under "data": nobody trained it, and the check of exports then looks at logits, not at tags.
    trained = {"weights": "made for benchmarks; the head is random"}
    place.parent.mkdir(parents=True, exist_ok=True)
    write_bundle(
        place,
        network=network,
        member=member,
        schema=schema,
        data=DataOptions(),
        trained=trained,
        card=model_card(name=name, schema=schema, members=[member], trained=trained, metrics=None),
    )


class Export(NamedTuple):
    """What a network exported to.

    Attributes:
        library: torch, onnx or openvino.
        precision: fp32, bf16 or int8.
        path: its folder, or nothing.
        absent: why it could not be made, or nothing.
        refused: why it was made without its check, or nothing.
    """

    library: str
    precision: str
    path: str
    absent: str = ""
    refused: str = ""

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.library} {self.precision}"


def exports(name: str, folder: Path, say: Callable[[str], None] = print) -> list[Export]:
    """What a network exports to, each made where it is missing or was made by another Gingham.

    Args:
        name: `laptop` or `swin`.
        folder: of all models.
        say: tells what goes on.
    """
    return [_exported(name, library, precision, folder, say) for library, precision in EXPORTS]


@functools.cache
def _exported(name: str, library: str, precision: str, folder: Path, say: Callable[[str], None]) -> Export:
    place = folder / f"exports-{_fingerprint()}" / f"{name}-{library}-{precision}"
    note = place.with_name(f"{place.name}.txt")
    if (place / "config.json").is_file():
        refused = note.read_text(encoding="utf-8") if note.is_file() else ""
        return Export(library, precision, str(place.resolve()), refused=refused)
    source = plain(name, folder)
    place.parent.mkdir(parents=True, exist_ok=True)
    say(f"  exporting {place.name}")
    command = ["export", str(source), "--to", library, "--precision", precision, "--out", str(place)]
    # Of a large network, the ranges of 8 bits and the check take a second a photo: few, then, and drawn ones do.
    photos = wardrobe(folder, 60) if name == "swin" else labelled(folder)
    data = ["--data", str(photos), "--split", "val"]
    # What keeps no answers is not worth its speed, but random weights are hard to keep: then it is told.
    refusals: list[str] = []
    for attempt in (data, [*data, "--unchecked"] if precision == "int8" else ["--unchecked"]):
        refusal = _gingham([*command, *attempt])
        if not refusal:
            write_text(note, refusals[0] if refusals else "")
            return Export(library, precision, str(place.resolve()), refused=refusals[0] if refusals else "")
        refusals.append(refusal)
    say(f"    missing: {refusals[0]}")
    return Export(library, precision, "", absent=f"gingham export: {refusals[0]}")


def _gingham(arguments: Sequence[str]) -> str:
    """Run it; empty, or the last line of what it complains of."""
    done = subprocess.run(
        [sys.executable, "-m", "gingham", *arguments], cwd=_REPOSITORY, capture_output=True, text=True, check=False
    )
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    last = lines[-1] if lines else f"exit code {done.returncode}"
    return "" if done.returncode == 0 else last.removeprefix("error: ").rstrip(".")


@functools.cache
def _fingerprint() -> str:
    """Of the code and libraries that exports depend on."""
    source = _REPOSITORY / "src" / "gingham"
    digest = hashlib.sha256()
    for file in sorted(
        [*source.glob("models/*.py"), *source.glob("export/*.py"), *source.glob("inference/*export*.py")]
    ):
        digest.update(file.read_bytes())
    for library in _LIBRARIES:
        try:
            digest.update(f"{library} {version(library)}".encode())
        except PackageNotFoundError:
            digest.update(f"{library} absent".encode())
    return digest.hexdigest()[:8]
