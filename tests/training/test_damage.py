"""Damaged checkpoints: found, said, and the one before is used."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gingham.errors import BundleError, DataError
from gingham.storage import write_manifest
from gingham.tensors import load_tensors
from gingham.training.checkpoint import TrainingState, load_checkpoint, newest_checkpoint, save_checkpoint
from gingham.training.interrupt import Stop, Stopped
from gingham.training.recipe import Recipe
from gingham.training.run import resume, train
from tests.ears import Ears

Tiny = Callable[..., Recipe]


def save(folder: Path, step: int, *, keep: int = 2, poison: float = 0.0, where: str = "weights") -> Path:
    """A checkpoint of about 0.6 MB."""
    tensors = {name: torch.full((60_000,), float(step)) for name in ("weights", "optimizer")}
    tensors[where][7] += poison
    return save_checkpoint(
        folder,
        weights={"layer.weight": tensors["weights"]},
        optimizer={"layer.weight:exp_avg": tensors["optimizer"]},
        generators={"0:cpu": torch.get_rng_state()},
        state=TrainingState(0, step, step, [], 0.5, [np.eye(2, dtype=np.int64)]),
        identity={"recipe": "abc"},
        keep=keep,
    )


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints; a test that damages one puts it right again."""
    folder = tmp_path_factory.mktemp("pair")
    save(folder, 10)
    newer = save(folder, 20)
    assert sum(path.stat().st_size for path in newer.iterdir()) < 1_000_000
    return folder


def assert_found(folder: Path, file: Path, damaged: bytes) -> None:
    """Write a file of the newer checkpoint in its damaged form, see that it is found, and put the file right."""
    whole = file.read_bytes()
    file.write_bytes(damaged)
    try:
        path, lines = newest_checkpoint(folder)
        assert path is not None
        assert path.name == "step-000000010"
        assert len(lines) == 1
        assert "step-000000020" in lines[0]
    finally:
        file.write_bytes(whole)


def test_each_file_cut_off_at_every_4_kib_is_found(pair: Path) -> None:
    cuts = 0
    for file in sorted((pair / "step-000000020").iterdir()):
        whole = file.read_bytes()
        for size in range(0, len(whole), 4096):
            assert_found(pair, file, whole[:size])
            cuts += 1
    assert cuts > 120


def test_a_thousand_flipped_bits_are_found(pair: Path) -> None:
    """In every file by its size, and a hundred in each of the small ones: manifest and state too."""
    rng = np.random.default_rng(0)
    files = sorted((pair / "step-000000020").iterdir())
    sizes = np.array([file.stat().st_size for file in files])
    chosen = [*np.repeat(np.arange(len(files)), 100), *rng.choice(len(files), 500, p=sizes / sizes.sum())]
    assert len(chosen) == 1000
    for number in chosen:
        data = bytearray(files[number].read_bytes())
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        assert_found(pair, files[number], bytes(data))


def test_safetensors_alone_would_not_notice(tmp_path: Path) -> None:
    file = save(tmp_path, 10) / "weights.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 0x40
    file.write_bytes(data)
    assert load_tensors(file)["layer.weight"][-1] != 10.0
    assert newest_checkpoint(tmp_path)[0] is None


def test_a_manifest_that_vouches_for_too_little_is_no_manifest(tmp_path: Path) -> None:
    path = save(tmp_path, 10)
    (path / "notes.txt").write_text("somebody's")
    assert newest_checkpoint(tmp_path) == (path, []), "what nobody reads does no harm"
    for left_out in ("state.json", "weights.safetensors"):
        copy = tmp_path / "copy" / path.name
        shutil.copytree(path, copy)
        manifest = json.loads((copy / "manifest.json").read_text())
        del manifest["sha256"][left_out]
        (copy / "manifest.json").write_text(json.dumps(manifest))
        found, lines = newest_checkpoint(copy.parent)
        assert found is None
        assert "does not list the files of a checkpoint" in lines[0]
        shutil.rmtree(copy)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("format", value) for value in ("1", None, -1, 1.5)),
        *(("identity", value) for value in ([], None, {"recipe": []})),
        *((name, value) for name in ("epoch", "step", "step_in_epoch") for value in ("1", -1, 1.5, None, True)),
        *(("history", value) for value in ({}, [1], [{"epoch": 1}], [{"epoch": "x"}], None)),
        *((name, value) for name in ("loss_sum", "seconds") for value in ("0", None, [], float("nan"), float("inf"))),
        *(
            ("matrices", value)
            for value in ({}, [1], [[1, 2]], [[[1, 2], [3]]], [[[-1]]], [[["1"]]], [[[1e3]]], [[[9**40]]])
        ),
        ("further", 1),
    ],
)
def test_each_field_of_the_state_has_its_type(tmp_path: Path, field: str, value: object) -> None:
    path = save(tmp_path, 10)
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({**state, field: value}))
    write_manifest(path)
    with pytest.raises(BundleError, match=r"state\.json: (.*remove this checkpoint|not valid JSON)"):
        load_checkpoint(path, {"recipe": "abc"})


@pytest.mark.parametrize("field", ["format", "identity", "epoch", "history", "matrices"])
def test_no_field_of_the_state_may_be_missing(tmp_path: Path, field: str) -> None:
    path = save(tmp_path, 10)
    state = json.loads((path / "state.json").read_text())
    del state[field]
    (path / "state.json").write_text(json.dumps(state))
    with pytest.raises(BundleError, match=rf"state\.json: {field}: Field required"):
        load_checkpoint(path, {"recipe": "abc"})


def test_a_later_format_is_named(tmp_path: Path) -> None:
    path = save(tmp_path, 10)
    (path / "state.json").write_text(json.dumps({"format": 2, "novelty": True}))
    with pytest.raises(BundleError, match="written by a later Gingham"):
        load_checkpoint(path, {})


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("where", ["weights", "optimizer"])
def test_no_checkpoint_holds_what_is_not_finite(tmp_path: Path, where: str, poison: float) -> None:
    save(tmp_path, 10)
    with pytest.raises(DataError, match=r"step 20: 'layer\.weight.*' holds numbers that are not finite"):
        save(tmp_path, 20, poison=poison, where=where)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000010"]


def test_damaged_later_ones_do_not_push_out_whole_ones(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        save(tmp_path, step, keep=3)
    for step in (20, 30):
        (tmp_path / f"step-0000000{step}" / "state.json").unlink()
    save(tmp_path, 15, keep=1)
    path, lines = newest_checkpoint(tmp_path)
    assert path is not None
    assert path.name == "step-000000015"
    assert len(lines) == 2


class _StopAt(Stop):
    def __init__(self, look: int) -> None:
        self._looks = look

    def asked(self) -> bool:
        self._looks -= 1
        return self._looks <= 0


def damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_a_run_goes_on_from_the_one_before(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    recipe = tiny("train.epochs=3")
    undisturbed = train(photos, recipe, tmp_path / "undisturbed")
    with pytest.raises(Stopped):
        train(photos, recipe, tmp_path / "run", stop=_StopAt(13))
    newest = max((tmp_path / "run/checkpoints").iterdir())
    damage(newest / "optimizer.safetensors")
    ears = Ears()
    assert resume(tmp_path / "run", reporter=ears) == undisturbed
    assert any(line.startswith("warning: checkpoint skipped") and newest.name in line for line in ears.lines)
    assert any(line.startswith("going on from step-") for line in ears.lines)
    mine, theirs = (load_tensors(tmp_path / name / "best/model.safetensors") for name in ("run", "undisturbed"))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_where_the_best_one_is_damaged_its_bundle_is_used(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "run"
    # A rate of almost nothing: the first of equal epochs is the best, and not the newest.
    first = train(photos, tiny("train.epochs=3", "train.learning_rate=1e-30"), out)
    best = min((out / "checkpoints").iterdir())
    assert best.name == "step-000000003"
    damage(best / "weights.safetensors")
    before, ears = (out / "best/model.safetensors").read_bytes(), Ears()
    assert resume(out, reporter=ears) == first
    assert (out / "best/model.safetensors").read_bytes() == before
    assert any(line.startswith("warning: the best epoch's checkpoint is skipped") for line in ears.lines)
    assert any("training is complete" in line for line in ears.lines)
    damage(out / "best/model.safetensors")
    with pytest.raises(BundleError, match=r"the best epoch is lost: remove .*checkpoints, and --resume"):
        resume(out)
    shutil.rmtree(out / "checkpoints")
    assert resume(out) == first
