"""`gingham push` and `gingham pull`, against a server made here."""

from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import pytest

from gingham.inference.bundle import open_bundle
from tests import tiny
from tests.hostile import changed_bundle
from tests.hub_server import Hub, serve

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

Call = Callable[..., "tuple[int, str, str]"]
Refused = Callable[..., str]
NAME = "owner/tagger"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    with serve(monkeypatch) as server:
        yield server


def test_there_and_back(gingham: Call, hub: Hub, tmp_path: Path) -> None:
    run, out = tiny.run_folder(tmp_path / "run"), tmp_path / "pulled"
    code, stdout, _ = gingham("push", run, NAME, "--private", "--message", "The first one")
    assert (code, stdout) == (0, f"{NAME}@{hub.main[NAME]}\n")
    assert NAME in hub.private
    commit = hub.main[NAME]
    hub.commit(NAME, {})
    code, stdout, _ = gingham("pull", f"{NAME}@{commit}", "--out", out)
    assert (code, stdout) == (0, f"{NAME}@{commit}\n")
    assert open_bundle(out).hash == open_bundle(run).hash
    assert f"pulled from: {NAME}@{commit}" in gingham("info", out)[1]
    assert "pulled from" not in gingham("info", run)[1]
    # A pulled bundle may be pushed on; the note of where it came from stays here.
    assert gingham("push", out, "owner/copy")[0] == 0
    assert "pulled.json" not in hub.commits["owner/copy"][hub.main["owner/copy"]]


def test_what_is_refused(refused: Refused, hub: Hub, model: Path, tmp_path: Path) -> None:
    assert "expected OWNER/NAME[@REVISION]" in refused("pull", "tagger", "--out", tmp_path / "m")
    assert "expected OWNER/NAME[@REVISION]" in refused("pull", f"{NAME}@", "--out", tmp_path / "m")
    assert "does not exist, or is private" in refused("pull", NAME, "--out", tmp_path / "m")
    assert "exists; choose another folder" in refused("pull", NAME, "--out", tmp_path)
    assert "--out" in refused("pull", NAME)
    assert "expected OWNER/NAME" in refused("push", model, "tagger")
    assert "no such folder" in refused("push", tmp_path / "none", NAME)
    assert not (tmp_path / "m").exists()
    assert f"gingham pull {NAME} --out" in refused("evaluate", NAME, "--data", tmp_path)


def test_names_of_strangers_do_not_reach_the_terminal_raw(
    gingham: Call, refused: Refused, model: Path, tmp_path: Path
) -> None:
    """An escape sequence may retitle a terminal, or worse."""
    spoilt = tiny.copied(model, tmp_path / "m")
    (spoilt / "manifest.json").write_text('{"sha256": {"\\u001b]0;owned\\u0007\\u009b": "' + "x" * 100_000 + '"}}')
    message = refused("info", spoilt)
    assert message.isprintable()
    assert len(message) < 3000
    changed = changed_bundle(model, tmp_path / "n", config=lambda value: value | {"trained": {"data": "\x1b[2Jgone"}})
    assert "data: \\x1b[2Jgone" in gingham("info", changed)[1]
