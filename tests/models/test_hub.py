"""The Hub's real code path, against a cache folder and a server made here."""

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import timm
import torch

from gingham.errors import WeightsError
from gingham.models.hub import pinned, read_hub
from gingham.models.weights import input_statistics, load_backbone
from tests.hub_server import NOBODY, Hub, point_to, serve

REPOSITORY = "timm/test_vit.r160_in1k"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's Hub cache, empty, and an endpoint where nobody listens."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    point_to(NOBODY, monkeypatch)
    return folder


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve(monkeypatch) as hub:
        yield hub


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
    assert pinned("test_vit", "hub") == f"hub@{COMMIT}"
    assert read_hub("test_vit", f"hub@{COMMIT}")[1] == f"{REPOSITORY}@{COMMIT}"


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
    for part in ("'test_vit'", NOBODY, f"hf download {REPOSITORY}", "model.weights", "--recipe laptop"):
        assert part in message


def test_a_download_is_kept(server: Hub, weights: dict[str, torch.Tensor], cache: Path) -> None:
    server.commit(REPOSITORY, {"model.safetensors": safetensors.torch.save(weights)})
    first = load_backbone("test_vit", pinned("test_vit", "hub"), image_size=160)
    assert (cache / f"models--{REPOSITORY.replace('/', '--')}").is_dir()
    assert server.downloads() == ["model.safetensors"]
    questions = len(server.seen)
    for weights_option in ("hub", f"hub@{server.main[REPOSITORY]}"):
        assert load_backbone("test_vit", weights_option, image_size=160).weights_hash == first.weights_hash
    assert len(server.seen) == questions


def test_a_pinned_revision_stays_what_it_was(server: Hub, weights: dict[str, torch.Tensor]) -> None:
    first = server.commit(REPOSITORY, {"model.safetensors": safetensors.torch.save(weights)})
    pin = pinned("test_vit", "hub")
    assert pin == f"hub@{first}"
    changed = {key: tensor + 1 if tensor.is_floating_point() else tensor for key, tensor in weights.items()}
    second = server.commit(REPOSITORY, {"model.safetensors": safetensors.torch.save(changed)})
    assert pinned("test_vit", f"hub@{second}") == f"hub@{second}"
    state, source = read_hub("test_vit", pin)
    assert source == f"{REPOSITORY}@{first}"
    assert all(torch.equal(state[key], weights[key]) for key in weights)
    assert torch.equal(read_hub("test_vit", f"hub@{second}")[0]["norm.bias"], changed["norm.bias"])


def test_other_weights_need_no_pin() -> None:
    assert [pinned("test_vit", weights) for weights in ("none", "package", "some/file.pth")] == [
        "none",
        "package",
        "some/file.pth",
    ]


def test_a_revision_is_no_path_of_a_file() -> None:
    assert input_statistics("test_vit", f"hub@{COMMIT}") == input_statistics("test_vit", "hub")
    with pytest.raises(WeightsError, match="'hub@' names no revision"):
        pinned("test_vit", "hub@")


def test_nothing_but_safetensors_is_read(
    server: Hub, cache: Path, weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """Neither from the Hub nor from the cache, where another program may have put a pickle."""
    torch.save(weights, tmp_path / "w.bin")
    server.commit(REPOSITORY, {"pytorch_model.bin": (tmp_path / "w.bin").read_bytes()})
    fill_cache(cache, "pytorch_model.bin", (tmp_path / "w.bin").read_bytes())
    with pytest.raises(
        WeightsError, match=r"has no model.safetensors, and nothing else is read.*hf download"
    ) as caught:
        read_hub("test_vit")
    assert "\n" not in str(caught.value)
    assert server.downloads() == []


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "EntryNotFound", "nothing else is read from the Hub"),
        (404, "RevisionNotFound", "no such revision"),
        (401, "RepoNotFound", "does not exist, or is private"),
        (403, "GatedRepo", "licence"),
        (400, "", "the Hub refused it"),
    ],
)
def test_what_the_hub_refuses(server: Hub, status: int, code: str, expected: str) -> None:
    server.refusal = (status, code)
    with pytest.raises(WeightsError, match=expected) as caught:
        load_backbone("test_vit", "hub", image_size=160)
    assert "\n" not in str(caught.value)


def test_a_backbone_that_timm_has_no_repository_for() -> None:
    with pytest.raises(WeightsError, match="no weights of 'gcvit_xxtiny' on the Hugging Face Hub"):
        read_hub("gcvit_xxtiny")
