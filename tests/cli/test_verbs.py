"""Verbs that need no photos, the way errors come out, and help."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gingham.cli import main
from gingham.cli.main import run
from gingham.errors import ExitCode
from gingham.inference.features import FeatureCache
from gingham.inference.panel import Panel
from gingham.progress import Reporter
from gingham.schema import AttributeSchema
from gingham.training.builtin import builtin_recipes
from gingham.training.recipe import load_recipe
from tests import tiny

Call = Callable[..., "tuple[int, str, str]"]
Refused = Callable[..., str]


def test_info_counts_the_reports_parameters(gingham: Call) -> None:
    code, stdout, stderr = gingham("info", "report", "--json")
    facts = json.loads(stdout)
    assert (code, stderr) == (0, "")
    assert facts["parameters"] == 217_465_646
    assert facts["backbone_parameters"] == 194_995_476
    assert sum(facts["parts"].values()) == facts["parameters"]
    assert facts["schema"] == tiny.SCHEMA.to_plain()


def test_info_of_a_model_a_run_and_a_file(gingham: Call, model: Path, tmp_path: Path) -> None:
    run_folder = tiny.run_folder(tmp_path / "run")
    counts = sum(parameter.numel() for parameter in tiny.network().parameters())
    for subject in (model, run_folder):
        code, stdout, _ = gingham("info", subject, "--json")
        facts = json.loads(stdout)
        assert code == 0
        assert facts["parameters"] == counts
        assert facts["backbone"] == "test_resnet"
        assert len(facts["hash"]) == 64
    assert gingham("recipes", "copy", "laptop", tmp_path / "mine.yaml")[0] == 0
    code, stdout, _ = gingham("info", tmp_path / "mine.yaml", "--json")
    assert code == 0
    assert json.loads(stdout)["schema_source"].startswith("assumed: deepfashion")
    (tmp_path / "schema.yaml").write_text("colour: [red, green, blue]\n")
    _, other, _ = gingham("info", tmp_path / "mine.yaml", "--json", "--schema", tmp_path / "schema.yaml")
    assert json.loads(other)["schema"] == {"colour": ["red", "green", "blue"]}
    assert json.loads(other)["schema_source"] == str(tmp_path / "schema.yaml")
    assert json.loads(other)["parameters"] < json.loads(stdout)["parameters"]
    _, stdout, _ = gingham("info", model)
    assert f"model: {model}\n" in stdout
    assert f"{counts:,}" in stdout


def test_info_of_nothing(refused: Refused, model: Path) -> None:
    assert "did you mean 'report'?" in refused("info", "reprot")
    assert "no such folder" in refused("info", "some/where")
    assert "no such file" in refused("info", "mine.yaml")
    assert "has its own schema" in refused("info", model, "--schema", "deepfashion")
    assert "no such built-in schema" in refused("info", "report", "--schema", "shoes")


def test_recipes(gingham: Call, refused: Refused, tmp_path: Path) -> None:
    code, stdout, _ = gingham("recipes", "list")
    assert code == 0
    assert [line.split()[0] for line in stdout.splitlines()] == list(builtin_recipes())
    for name in builtin_recipes():
        assert gingham("recipes", "copy", name, tmp_path / f"{name}.yaml")[0] == 0
        assert load_recipe(str(tmp_path / f"{name}.yaml")) == load_recipe(name)
    assert "exists; choose another name" in refused("recipes", "copy", "report", tmp_path / "report.yaml")
    assert "did you mean 'laptop'?" in refused("recipes", "copy", "laptp", tmp_path / "new.yaml")
    assert not (tmp_path / "new.yaml").exists()
    assert "did you mean 'list'?" in refused("recipes", "lst")
    assert "Missing command" in refused("recipes")


def test_schema_infer(gingham: Call, refused: Refused, tmp_path: Path) -> None:
    labels, out = tmp_path / "labels.csv", tmp_path / "schema.yaml"
    labels.write_text("image,colour,size,note\n" + "".join(f"{n}.jpg,{'rgb'[n % 3]},{n % 2},x\n" for n in range(6)))
    (tmp_path / "recipe.yaml").write_text("data: {image_column: nonsense}\n")  # of something else
    assert "note" in refused("schema", "infer", labels, "--out", out)
    code, stdout, _ = gingham("schema", "infer", labels, "--out", out, "--set", "data.ignore_columns=[note]")
    assert code == 0
    assert AttributeSchema.from_file(out).to_plain() == {"colour": ["b", "g", "r"], "size": ["0", "1"]}
    assert "colour: b, g, r" in stdout
    assert gingham("schema", "infer", labels, "--out", tmp_path / "s.json", "--set", "data.attributes=[size]")[0] == 0
    assert AttributeSchema.from_file(tmp_path / "s.json").to_plain() == {"size": ["0", "1"]}
    assert "must be .yaml or .yml or .json" in refused("schema", "infer", labels, "--out", tmp_path / "schema.txt")
    assert "exists; choose another name" in refused("schema", "infer", labels, "--out", out)
    assert "no such file" in refused("schema", "infer", tmp_path / "none.csv", "--out", tmp_path / "new.yaml")


def test_cache(gingham: Call, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path))
    code, stdout, _ = gingham("cache", "info")
    assert code == 0
    assert str(tmp_path / "features") in stdout
    cache = FeatureCache("some weights", (1, 2), limit_gb=1)
    store = cache.open(["a", "b"], lambda positions: [np.ones((len(positions), 1, 2))], reporter=Reporter())
    _, stdout, _ = gingham("cache", "info")
    assert "some weights" in stdout
    assert "2 rows" in stdout
    assert "in use" in gingham("cache", "clear")[1]
    del store
    assert gingham("cache", "clear") == (0, "freed 0.000 GB\n", "")
    assert "some weights" not in gingham("cache", "info")[1]
    assert "did you mean 'clear'?" in refused("cache", "clean")


def test_wardrobe(gingham: Call, refused: Refused, tmp_path: Path) -> None:
    code, stdout, stderr = gingham("wardrobe", tmp_path / "w", "--count", "7", "--seed", "3")
    assert (code, stdout) == (0, "")
    assert "7 garments" in stderr
    assert len(list((tmp_path / "w" / "img").iterdir())) == 7
    assert "not an empty folder" in refused("wardrobe", tmp_path / "w", "--count", "7")
    assert "--count" in refused("wardrobe", tmp_path / "v", "--count", "3")
    assert not (tmp_path / "v").exists()


def test_train_tells_what_is_missing(refused: Refused, wardrobe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert "--out" in refused("train", "--recipe", "laptop")
    assert "--data" in refused("train", "--recipe", "laptop", "--out", out)
    assert "--recipe" in refused("train", "--data", wardrobe, "--out", out)
    assert "did you mean 'laptop'?" in refused("train", "--data", wardrobe, "--recipe", "lapotp", "--out", out)
    wrong = ["--set", "train.epoch=3"]
    assert "did you mean 'train.epochs'?" in refused(
        "train", "--data", wardrobe, "--recipe", "laptop", "--out", out, *wrong
    )
    assert "not a run that can go on" in refused("train", "--resume", "--out", out)
    assert "--set" in refused("train", "--resume", "--out", out, "--set", "train.epochs=3")
    assert "--init" in refused("train", "--resume", "--out", out, "--init", wardrobe)
    assert not out.exists()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_every_verb(gingham: Call, arguments: list[str]) -> None:
    code, stdout, _ = gingham(*arguments)
    assert code == 0
    verbs = [
        "audit",
        "augment-preview",
        "train",
        "ensemble",
        "evaluate",
        "plot",
        "calibrate",
        "export",
        "predict",
        "monitor",
        "explain",
        "faithfulness",
        "submit",
        "compare",
        "study",
        "push",
        "pull",
        "info",
        "recipes",
        "schema",
        "cache",
        "wardrobe",
        "demo",
    ]
    assert all(f"  {verb} " in stdout for verb in verbs)
    assert list(main._VERBS) == verbs


@pytest.mark.parametrize("verb", list(main._VERBS))
def test_every_verb_has_help(gingham: Call, verb: str) -> None:
    code, stdout, stderr = gingham(verb, "--help")
    assert (code, stderr) == (0, "")
    assert stdout.startswith(f"Usage: gingham {verb}")


def test_unknown_verbs_and_options(refused: Refused) -> None:
    assert "no verb 'predcit'; did you mean 'predict'?" in refused("predcit")
    assert "there are audit, augment-preview, train" in refused("xyzzy")
    assert "--version" in refused("--versoin")
    assert "--out" in refused("demo", "--uot", "x")


@pytest.mark.parametrize(
    ("failure", "code", "text"),
    [
        (MemoryError(), 3, "error: out of memory; use a smaller --batch-size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 3, "error: out of memory"),
        (OSError(28, "No space left on device", "/some/file"), 3, "error: /some/file: No space left on device"),
        (ZeroDivisionError("division\nby zero"), 1, "bug: ZeroDivisionError: division by zero (set GINGHAM_DEBUG=1"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_failures_have_their_codes(
    gingham: Call, monkeypatch: pytest.MonkeyPatch, failure: BaseException, code: int, text: str
) -> None:
    def fail() -> None:
        raise failure

    monkeypatch.setattr("gingham.inference.shards.cache_info", fail)
    found, stdout, stderr = gingham("cache", "info")
    assert (found, stdout) == (code, "")
    assert stderr.strip().startswith(text)
    assert len(stderr.strip().splitlines()) == 1
    assert "Traceback" not in stderr
    monkeypatch.setenv("GINGHAM_DEBUG", "1")
    assert "Traceback" in gingham("cache", "info")[2]


def test_sigterm_ends_predict_without_a_file(
    model: Path, wardrobe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "tags.csv"

    def terminated(self: Panel, network: object, views: object) -> None:
        assert list(tmp_path.iterdir())  # the file on a temporary name
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Panel, "_forward", terminated)
    monkeypatch.setattr("sys.argv", ["gingham", "predict", str(model), str(wardrobe), "--out", str(out)])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as caught:
            main.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught.value.code == ExitCode.TERMINATED == 143
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="POSIX only")
def test_a_folder_that_refuses_is_the_machines_fault(refused: Refused, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)  # root may write anywhere
    try:
        arguments = ("recipes", "copy", "laptop", locked / "mine.yaml")
        message = refused(*arguments, code=3)
    finally:
        os.seteuid(before)
    assert "cannot be written" in message
    assert list(locked.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_devices_and_pipes_are_not_replaced(refused: Refused, model: Path, wardrobe: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.parquet")
    for option in ("--json", "--predictions"):
        message = refused("evaluate", model, "--data", wardrobe, option, tmp_path / "pipe.parquet")
        assert "a device or pipe, not a file" in message
    assert (tmp_path / "pipe.parquet").is_fifo()


def test_names_that_do_not_tell_the_format_are_refused(refused: Refused, model: Path, tmp_path: Path) -> None:
    arguments = (model, "--data", tmp_path)
    assert "must be .parquet" in refused("evaluate", *arguments, "--predictions", tmp_path / "logits.csv")
    assert "must be .yaml or .yml" in refused("recipes", "copy", "laptop", tmp_path / "mine")
    assert "must be .zip" in refused("submit", *arguments, "--out", tmp_path / "submission.txt")


@pytest.mark.parametrize("verb", ["train", "demo", "wardrobe"])
def test_a_run_that_cannot_be_written_is_refused_before_any_work(refused: Refused, tmp_path: Path, verb: str) -> None:
    (tmp_path / "file").write_text("mine")
    option = [] if verb == "wardrobe" else ["--out"]
    assert "is not a folder" in refused(verb, *option, tmp_path / "file" / "run")
    assert "is a file" in refused(verb, *option, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_codes_are_plain_numbers() -> None:
    assert run(["--version"]) == 0
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "BUG": 1,
        "USER": 2,
        "MACHINE": 3,
        "SOME_UNREADABLE": 4,
        "PROMISE_BROKEN": 5,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }
