"""The Hub's real code path, against a cache folder and a server made here."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import timm
import torch

from gingham.errors import WeightsError
from gingham.models import hub
from gingham.models.weights import load_backbone

REPOSITORY = "timm/test_vit.r160_in1k"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def point_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `HF_ENDPOINT` does when huggingface_hub is imported."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's Hub cache, empty, and an endpoint where nobody listens."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    point_to("http://127.0.0.1:9", monkeypatch)
    return folder


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = timm.create_model("test_vit", pretrained=False).state_dict()
    return state


def fill_cache(cache: Path, file: str, content: bytes) -> None:
    folder = cache / f"models--{REPOSITORY.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    (folder / "snapshots" / COMMIT / file).write_bytes(content)


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the Hub does for the files of one repository."""

    files: dict[str, bytes]
    seen: list[str]
    status = 404
    code = "EntryNotFound"

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        content = self.answer()
        if content is not None:
            self.wfile.write(content)

    def answer(self) -> bytes | None:
        self.seen.append(self.path)
        prefix = f"/{REPOSITORY}/resolve/main/"
        name = self.path.split("?")[0].removeprefix(prefix) if self.path.startswith(prefix) else ""
        content = self.files.get(name)
        self.send_response(200 if content is not None else self.status)
        self.send_header("X-Repo-Commit", COMMIT)
        if content is None:
            self.send_header("X-Error-Code", self.code)
        else:
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        return content

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    class Answers(Hub):
        pass

    Answers.files, Answers.seen = {}, []
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    point_to(f"http://127.0.0.1:{listening.server_port}", monkeypatch)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield Answers
    listening.shutdown()
    listening.server_close()
    thread.join()


def test_from_the_cache_offline(cache: Path, weights: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    fill_cache(cache, "model.safetensors", safetensors.torch.save(weights))
    loaded = load_backbone("test_vit", "hub", image_size=(96, 128))
    # The same files through timm alone.
    expected = timm.create_model(
        "test_vit", pretrained=True, num_classes=0, global_pool="", img_size=(96, 128)
    ).state_dict()
    found = loaded.model.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert loaded.mean == tuple(timm.models.get_pretrained_cfg("test_vit").mean)


def test_an_older_repository_has_a_pth_only(
    cache: Path, weights: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    torch.save(weights, tmp_path / "w.bin")
    fill_cache(cache, "pytorch_model.bin", (tmp_path / "w.bin").read_bytes())
    state, source = hub.read_hub("test_vit")
    assert source == f"{REPOSITORY} (pytorch_model.bin)"
    assert all(torch.equal(state[key], weights[key]) for key in weights)


@pytest.mark.parametrize("offline", [True, False])
def test_without_network_and_cache_the_message_says_what_to_do(
    cache: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    with pytest.raises(WeightsError) as caught:
        load_backbone("test_vit", "hub", image_size=160)
    message = str(caught.value)
    assert "\n" not in message
    assert ("HF_HUB_OFFLINE" if offline else "cannot be reached") in message
    for part in ("'test_vit'", "http://127.0.0.1:9", f"hf download {REPOSITORY}", "model.weights", "--recipe laptop"):
        assert part in message


def test_a_download_is_kept(server: type[Hub], weights: dict[str, torch.Tensor], cache: Path) -> None:
    server.files["model.safetensors"] = safetensors.torch.save(weights)
    first = load_backbone("test_vit", "hub", image_size=160)
    assert (cache / f"models--{REPOSITORY.replace('/', '--')}").is_dir()
    downloads = len(server.seen)
    again = load_backbone("test_vit", "hub", image_size=160)
    assert first.weights_hash == again.weights_hash
    assert len(server.seen) == downloads


def test_a_pth_is_downloaded_where_there_is_no_safetensors(
    server: type[Hub], weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save(weights, tmp_path / "w.bin")
    server.files["pytorch_model.bin"] = (tmp_path / "w.bin").read_bytes()
    state, _ = hub.read_hub("test_vit")
    assert all(torch.equal(state[key], weights[key]) for key in weights)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "EntryNotFound", "no weights file that can be read"),
        (401, "RepoNotFound", "does not exist, or is private"),
        (403, "GatedRepo", "licence"),
        (400, "", "the Hub refused it"),
    ],
)
def test_what_the_hub_refuses(server: type[Hub], status: int, code: str, expected: str) -> None:
    server.status, server.code = status, code
    with pytest.raises(WeightsError, match=expected) as caught:
        load_backbone("test_vit", "hub", image_size=160)
    assert "\n" not in str(caught.value)


def test_a_backbone_that_timm_has_no_repository_for() -> None:
    with pytest.raises(WeightsError, match="no weights of 'gcvit_xxtiny' on the Hugging Face Hub"):
        hub.read_hub("gcvit_xxtiny")
