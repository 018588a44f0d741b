"""A tagger of a few thousand numbers and a wardrobe of a few garments, for tests of everything around them."""

import functools
import json
import shutil
from pathlib import Path

import torch

from gingham.data.options import DataOptions
from gingham.data.preprocess import Preprocess
from gingham.data.test_time import TestTime
from gingham.inference.card import model_card
from gingham.inference.member import Member
from gingham.inference.panel import Voter
from gingham.inference.save import write_bundle
from gingham.inference.torch_runtime import TorchRuntime
from gingham.models.network import Network, build_network
from gingham.models.options import ModelOptions
from gingham.schema import AttributeSchema
from gingham.training.interrupt import Stop
from gingham.wardrobe import generate

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.2)
GARMENTS = 20
SCHEMA = AttributeSchema.builtin("deepfashion")
MODEL = ModelOptions.parse(
    {
        "backbone": "test_resnet",
        "weights": "none",
        "head": "query2label",
        "query2label": {"width": 16, "ffn": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1},
    }
)


class StopAtOnce(Stop):
    """Asks a run to stop after its first step."""

    def asked(self) -> bool:
        return True


class StopAt(Stop):
    """Asks a run to stop at its n-th look: there is one after each step, batch of the validation, and epoch."""

    def __init__(self, look: int) -> None:
        self._looks = look

    def asked(self) -> bool:
        self._looks -= 1
        return self._looks <= 0


TRAINED = {"data": "a wardrobe", "training_images": 14, "epoch": 1}


def preprocess(region: str = "image") -> Preprocess:
    return Preprocess.parse({"size": 64, "region": region, "mean": MEAN, "std": STD})


def network(schema: AttributeSchema = SCHEMA, seed: int = 0) -> Network:
    """Random, but with logits that differ from photo to photo by far more than rounding."""
    torch.manual_seed(seed)
    built = build_network(MODEL, schema, image_size=64, mean=MEAN, std=STD)
    with torch.no_grad():
        for name, parameter in built.head.named_parameters():
            if "classifier" in name:
                parameter.mul_(10)
    return built.eval()


def voter(
    network: Network, preprocess: Preprocess, test_time: TestTime | None = None, *, deterministic: bool = False
) -> Voter:
    """A network in PyTorch, on the processor."""
    return Voter(TorchRuntime(network, "cpu", deterministic=deterministic), preprocess, test_time or TestTime())


def bundle(
    path: Path,
    *,
    region: str = "image",
    schema: AttributeSchema = SCHEMA,
    seed: int = 0,
    data: DataOptions | None = None,
    test_time: TestTime | None = None,
) -> Path:
    """Write a tagger that nobody trained."""
    member = Member(model=MODEL, preprocess=preprocess(region), test_time=test_time or TestTime())
    write_bundle(
        path,
        network=network(schema, seed),
        member=member,
        schema=schema,
        data=data or DataOptions(),
        trained=TRAINED,
        card=model_card(name=path.name, schema=schema, members=[member], trained=TRAINED, metrics=None),
    )
    return path


def run_folder(path: Path, recipe: str = "") -> Path:
    """A folder that looks like a finished run."""
    path.mkdir()
    (path / "recipe.yaml").write_text(recipe or "data: {}\n")
    (path / "run.json").write_text(json.dumps({"gingham": "0", "data": "", "init": None}))
    bundle(path / "best")
    return path


@functools.cache
def shared_wardrobe(base: Path) -> Path:
    """A wardrobe made once a session; not to be changed."""
    generate(base / "tiny-wardrobe", GARMENTS, 0)
    return base / "tiny-wardrobe"


@functools.cache
def shared_bundle(base: Path, region: str) -> Path:
    """A bundle made once a session; not to be changed."""
    return bundle(base / f"tiny-bundle-{region}", region=region)


def copied(folder: Path, place: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(folder, place)
    return place
