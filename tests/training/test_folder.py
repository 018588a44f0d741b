import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from gingham.errors import BundleError, UserError
from gingham.training.folder import Origin, begin, claim, read_origin, require_unused
from gingham.training.recipe import Recipe
from gingham.training.run import train

Tiny = Callable[..., Recipe]


def _hold(out: Path, held: Connection) -> None:
    with claim(out):
        held.send(True)
        signal.pause()


def test_a_run_begins_with_its_recipe(tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(BundleError, match="not a run that can go on"):
        read_origin(out)
    begin(out, tiny(), Origin(Path("photos"), None, None))
    assert read_origin(out) == (out / "recipe.yaml", Origin(Path("photos"), None, None))
    with pytest.raises(UserError, match="go on with --resume"):
        require_unused(out)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"data": 1, "init": null}', '{"data": "a", "init": 1}'])
def test_a_damaged_origin_is_named(tiny: Tiny, tmp_path: Path, content: str) -> None:
    begin(tmp_path, tiny(), Origin(Path("photos"), Path("model"), None))
    assert read_origin(tmp_path)[1].init == Path("model")
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(BundleError, match=r"run\.json"):
        read_origin(tmp_path)


def test_what_was_killed_as_it_began_may_begin_again(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    for left in (".lock", ".run.json.77-0123abcd.tmp", ".recipe.yaml.77-0123abcd.tmp", "run.json"):
        (out / left).write_text("{")
    train(photos, tiny("train.max_steps=1"), out)
    assert not list(out.glob(".*.tmp"))
    assert (out / "metrics.json").is_file()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    with pytest.raises(UserError, match="choose another --out"):
        require_unused(tmp_path / "other")


def test_a_folder_belongs_to_one_job_until_that_is_gone(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    holder = context.Process(target=_hold, args=(tmp_path, there))
    holder.start()
    assert here.recv()
    with pytest.raises(UserError, match="another process is training here"), claim(tmp_path):
        pass
    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join()
    with claim(tmp_path):
        pass
