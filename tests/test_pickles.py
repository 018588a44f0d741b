"""The pickle rule: nothing is unpickled but backbone weights, in one function, as tensors only."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch

from tests import tiny

_REPOSITORY = Path(__file__).resolve().parent.parent

_VERBS = """
import json, sys
from pathlib import Path
from tests import pickle_guard

pickle_guard.install()
pickle_guard.install_torch()

import torch
from gingham.cli.main import run
from gingham.inference.tagger import Tagger
from gingham.training.interrupt import Stopped
from gingham.training.recipe import load_recipe
from gingham.training.run import train
from tests.tiny import StopAtOnce

torch.set_num_threads(1)
data, weights, out = map(Path, sys.argv[1:])
small = ["model.backbone=test_resnet", f"model.weights={weights}", "model.query2label.width=16", "preprocess.size=64",
         "model.query2label.ffn=16", "augment.resize=72", "train.epochs=2", "train.batch_size=7", "train.workers=1"]
codes = {}

def call(name, *arguments):
    codes[name] = run([str(part) for part in arguments])

try:
    train(data, load_recipe("report", small), out / "run", stop=StopAtOnce())
except Stopped:
    codes["stopped"] = 0
call("resume", "train", "--resume", "--out", out / "run")
call("cached", "train", "--data", data, "--recipe", "laptop-report", "--out", out / "cached", "--init", out / "run",
     *(f"--set={change}" for change in [*small, "features.views=1", "train.epochs=1"]))
call("evaluate", "evaluate", out / "run", "--data", data, "--predictions", out / "a.parquet")
call("compare", "compare", out / "a.parquet", out / "a.parquet")
call("predict", "predict", out / "run", data / "img", "--out", out / "tags.csv")
call("submit", "submit", out / "run", "--data", data, "--out", out / "s.zip")
call("audit", "audit", "--data", data, "--model", out / "run", "--json", out / "a.json", "--html", out / "a.html")
call("info", "info", out / "cached")
Tagger.load(out / "run")(next((data / "img").iterdir()))
print(json.dumps([codes, pickle_guard.violations, pickle_guard.allowed_loads]))
"""

_VIOLATIONS = """
import sys
from tests import pickle_guard

pickle_guard.install()
pickle_guard.install_torch()

import pickle, _pickle
import numpy, torch
from pathlib import Path

folder = Path(sys.argv[1])
def tried(call):
    before = len(pickle_guard.violations)
    try:
        call()
    except Exception:
        pass
    return len(pickle_guard.violations) > before
print([tried(call) for call in (
    lambda: pickle.loads(pickle.dumps([1])),
    lambda: pickle.load((folder / "list.pkl").open("rb")),
    lambda: pickle.Unpickler((folder / "list.pkl").open("rb")).load(),
    lambda: _pickle.loads(pickle.dumps(Path)),
    lambda: torch.load(folder / "w.pth", weights_only=True),
    lambda: torch.serialization.load(folder / "w.pth", weights_only=False),
    lambda: numpy.load(folder / "o.npy", allow_pickle=True),
)])
"""


def python(code: str, *arguments: Path, cache: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": f"{_REPOSITORY / 'src'}:{_REPOSITORY}", "GINGHAM_CACHE": str(cache)}
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], text=True, capture_output=True, env=environment, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()[-1]


def test_the_verbs_unpickle_nothing_but_weights(tmp_path: Path) -> None:
    weights = tmp_path / "w.pth"
    torch.save(timm.create_model("test_resnet", pretrained=False).state_dict(), weights)
    data = tiny.shared_wardrobe(tmp_path)
    codes, violations, allowed = json.loads(python(_VERBS, data, weights, tmp_path, cache=tmp_path / "cache"))
    assert violations == []
    assert set(allowed) == {str(weights)}
    verbs = ["stopped", "resume", "cached", "evaluate", "compare", "predict", "submit", "audit", "info"]
    assert codes == dict.fromkeys(verbs, 0)


def test_the_guard_sees_each_way_of_unpickling(tmp_path: Path) -> None:
    import pickle

    import numpy as np

    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    torch.save({"a": torch.zeros(2)}, tmp_path / "w.pth")
    np.save(tmp_path / "o.npy", np.array([None, {}]), allow_pickle=True)
    assert python(_VIOLATIONS, tmp_path, cache=tmp_path / "cache") == str([True] * 7)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "README.md"])
def test_a_pickle_inside_a_model_does_not_run(tmp_path: Path, name: str) -> None:
    """Under the name of a file that is read, with a manifest that vouches for it."""
    from gingham.errors import BundleError
    from gingham.inference.bundle import open_bundle
    from gingham.storage import write_manifest
    from tests.hostile import evil_pickle

    model = tiny.bundle(tmp_path / "m")
    (model / name).write_bytes(evil_pickle(tmp_path / "ran"))
    write_manifest(model)
    if name == "README.md":
        open_bundle(model).network()
    else:
        with pytest.raises(BundleError, match=name):
            open_bundle(model).network()
    assert not (tmp_path / "ran").exists()
