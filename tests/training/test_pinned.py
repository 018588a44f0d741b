"""A run says which commit of the Hub its backbone's weights are of, and goes on with that one."""

from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import timm
import yaml

from gingham.errors import UserError
from gingham.inference.bundle import open_bundle
from gingham.training.interrupt import Stopped
from gingham.training.recipe import Recipe
from gingham.training.run import resume, train
from tests.hub_server import serve
from tests.tiny import StopAtOnce

REPOSITORY = "timm/test_vit.r160_in1k"


def test_hub_becomes_a_commit(
    photos: Path, tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    weights = safetensors.torch.save(timm.create_model("test_vit", pretrained=False).state_dict())
    recipe, out = tiny("model.weights=hub", "train.epochs=1"), tmp_path / "run"
    with serve(monkeypatch) as hub:
        commit = hub.commit(REPOSITORY, {"model.safetensors": weights})
        with pytest.raises(Stopped):
            train(photos, recipe, out, device="cpu", stop=StopAtOnce())
        hub.commit(REPOSITORY, {})
        with pytest.raises(UserError, match=r"model\.weights is 'hub@main' here and 'hub@"):
            resume(out, recipe=recipe.with_weights("hub@main"), device="cpu")
        # The recipe as it was given is that of the run.
        resume(out, recipe=recipe, device="cpu")
    assert yaml.safe_load((out / "recipe.yaml").read_text())["model"]["weights"] == f"hub@{commit}"
    bundle = open_bundle(out)
    assert bundle.only.model.weights == bundle.trained["backbone_weights"] == f"hub@{commit}"
