import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import tiny

Call = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]

_SMALL = [
    f"--set={change}"
    for change in (
        "model.backbone=test_resnet",
        "model.weights=none",
        "model.query2label.width=16",
        "model.query2label.ffn=16",
        "preprocess.size=64",
        "augment.resize=72",
        "train.max_steps=1",
        "train.batch_size=4",
    )
]


@pytest.fixture
def spoilt(wardrobe: Path, tmp_path: Path) -> Path:
    """A copy of the wardrobe that a test may damage."""
    return Path(shutil.copytree(wardrobe, tmp_path / "spoilt"))


def test_a_run_from_the_command_line(gingham: Call, wardrobe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, stdout, stderr = gingham("train", "--data", wardrobe, "--recipe", "report", "--out", out, *_SMALL)
    assert code == 0
    assert stdout.startswith("mean class accuracy")
    assert "no GPU" in stderr
    assert "epoch 1/20" in stderr
    assert gingham("evaluate", out, "--data", wardrobe)[0] == 0
    code, stdout, stderr = gingham("train", "--resume", "--out", out)
    assert code == 0
    assert "training is complete; its model is measured again" in stderr


def test_the_report_without_weights_says_how_to_get_them(
    refused: Refused, wardrobe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = refused("train", "--data", wardrobe, "--recipe", "report", "--out", tmp_path / "run")
    assert "hf download" in message
    assert "model.weights" in message
    assert not (tmp_path / "run").exists()


def test_wrong_data_is_named_before_training(refused: Refused, wardrobe: Path, spoilt: Path, tmp_path: Path) -> None:
    def call(data: Path) -> str:
        return refused("train", "--data", data, "--recipe", "report", "--out", tmp_path / "run", *_SMALL)

    assert "no such file or folder" in call(tmp_path / "nothing")
    assert "no labels found" in call(wardrobe / "img")
    labels = spoilt / "split" / "train_attr.txt"
    lines = labels.read_text().splitlines()
    labels.write_text("\n".join(lines[:-2]) + "\n")
    assert "train_attr.txt:12: the last row: it has 12 rows" in call(spoilt)
    labels.write_text("\n".join([*lines[:4], "9 0 0 0 0 0", *lines[5:]]) + "\n")
    assert "train_attr.txt:5: attribute 'pattern' has label 9, expected 0..6" in call(spoilt)
    labels.write_text("\n".join(lines) + "\n")
    (spoilt / "img" / "00003.jpg").unlink()
    assert "train.txt:4: image 'img/00003.jpg' is not in" in call(spoilt)
    (spoilt / "img" / "00003.jpg").write_text("not a picture")
    assert "1 of 17 training and validation images cannot be read: img/00003.jpg (unreadable)" in call(spoilt)
    assert not (tmp_path / "run").exists()


def test_wrong_calls_say_what_is_missing(refused: Refused, wardrobe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert "--data" in refused("train", "--recipe", "laptop", "--out", out)
    assert "--recipe" in refused("train", "--data", wardrobe, "--out", out)
    assert "did you mean 'train.epochs'" in refused(
        "train", "--data", wardrobe, "--recipe", "laptop", "--out", out, "--set", "train.epoch=3"
    )
    assert "not a run that can go on" in refused("train", "--resume", "--out", out)
    assert "--set" in refused("train", "--resume", "--out", out, "--set", "train.epochs=3")
    assert "--init" in refused("train", "--resume", "--out", out, "--init", out)
    assert "--device" in refused("train", "--data", wardrobe, "--recipe", "laptop", "--out", out, "--device", "abacus")
    tiny.bundle(tmp_path / "model")
    assert "its backbone is test_resnet" in refused(
        "train", "--data", wardrobe, "--recipe", "wardrobe", "--out", out, "--init", tmp_path / "model"
    )
    assert not out.exists()


def test_unreadable_images_and_copies_are_left_out_and_resuming_goes_on_so(
    gingham: Call, refused: Refused, spoilt: Path, tmp_path: Path
) -> None:
    (spoilt / "img" / "00003.jpg").write_text("not a picture")
    shutil.copy(spoilt / "img" / "00015.jpg", spoilt / "img" / "00004.jpg")
    out = tmp_path / "run"
    start = ("train", "--data", spoilt, "--recipe", "report", "--out", out, *_SMALL)
    assert "--skip-unreadable" in refused(*start)
    assert "more than the 0.01 of them" in refused(*start, "--skip-unreadable", "0.01")
    assert "img/00004.jpg = img/00015.jpg (val)" in refused(*start, "--skip-unreadable", "--leaks", "error")
    assert not out.exists()
    code, _, stderr = gingham(*start, "--skip-unreadable")
    assert code == 0
    lines = [line for line in stderr.splitlines() if "left out" in line]
    assert lines == [
        "warning: 1 of 17 training and validation images cannot be read and are left out: img/00003.jpg (unreadable)",
        "warning: 1 training images are also in the validation or test split; the training copies are left out: "
        "img/00004.jpg = img/00015.jpg (val)",
    ]
    assert "training images: 12" in (out / "best" / "README.md").read_text()
    code, _, stderr = gingham("train", "--resume", "--out", out)
    assert code == 0
    assert [line for line in stderr.splitlines() if "left out" in line] == lines
    for option in (("--leaks", "keep"), ("--skip-unreadable", "0.5")):
        assert f"{option[0]}: a resumed run" in refused("train", "--resume", "--out", out, *option)


def test_folds_and_members_from_the_command_line(
    gingham: Call, refused: Refused, wardrobe: Path, tmp_path: Path
) -> None:
    table, recipe, out = tmp_path / "labels.csv", tmp_path / "two.yaml", tmp_path / "run"
    rows = [f"{wardrobe}/img/{number:05d}.jpg,{'ab'[number % 2]}" for number in range(16)]
    table.write_text("\n".join(["image,kind", *rows]))
    recipe.write_text("members: [{name: one}, {name: other, set: {train.seed: 1}}]\n")
    call = ("train", "--data", table, "--recipe", recipe, "--out", out, "--folds", "2", *_SMALL)
    assert "set train.choose=last" in refused(*call)
    assert not out.exists()
    code, stdout, stderr = gingham(*call, "--set=train.choose=last")
    assert code == 0
    assert stdout.startswith("mean class accuracy")
    assert "on 16 images" in stdout.splitlines()[0]
    assert "in 4 runs; --recipe laptop" in stderr
    assert stderr.splitlines()[-1] == f"run: {out} (model in {out / 'best'})"
    assert "go on with --resume" in refused(*call, "--set=train.choose=last")
    assert "--folds: a resumed run" in refused("train", "--resume", "--out", out, "--folds", "2")
    again = gingham("train", "--resume", "--out", out)
    assert again[:2] == (0, stdout)
    assert again[2].count(": complete") == 4
    code, stdout, _ = gingham("info", recipe)
    assert code == 0
    assert [name for name in ("one", "other") if f" {name} " in stdout] == ["one", "other"]
