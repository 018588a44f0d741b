"""Bundles from strangers: refused, with one line, before they take memory or time."""

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gingham.errors import BundleError
from gingham.inference.bundle import open_bundle
from gingham.inference.networks import structure_of
from gingham.inference.tagger import Tagger
from gingham.storage import MANIFEST, write_manifest
from gingham.tensors import load_tensors, save_tensors
from tests import tiny
from tests.hostile import changed_bundle, safetensors_file

_REPOSITORY = Path(__file__).resolve().parent.parent.parent


def model_with(**fields: object) -> Callable[[Any], Any]:
    return lambda config: {**config, "model": {**config["model"], **fields}}


def head_with(**fields: object) -> Callable[[Any], Any]:
    return lambda config: model_with(query2label={**config["model"]["query2label"], **fields})(config)


CLAIMS: dict[str, tuple[dict[str, Callable[[Any], Any]], str]] = {
    "a backbone of 17 GB": (
        {"config": model_with(backbone="eva02_enormous_patch14_clip_224")},
        r"tensor '.*' is missing",
    ),
    "images of 4096 pixels for a Transformer": (
        {"config": model_with(backbone="vit_large_patch16_224"), "preprocess": lambda value: value | {"size": 4096}},
        r"tensor '.*' is missing",
    ),
    "a wide head": ({"config": head_with(width=10**9)}, "query2label.width: .*less than or equal to 16384"),
    "a deep head": ({"config": head_with(decoder_layers=10**9)}, "query2label.decoder_layers: .*less than or equal"),
    "the largest head": (
        {"config": head_with(width=16384, ffn=65536, encoder_layers=64, decoder_layers=64)},
        r"tensor '.*' is missing",
    ),
    "images of 10^9 pixels": ({"preprocess": lambda value: value | {"size": 10**9}}, "size: .*less than or equal"),
    "a million classes": ({"schema": lambda _: {"a": [f"{n}" for n in range(600_000)]}}, "schema.json: .*20,000"),
    "a hundred thousand attributes": (
        {"schema": lambda _: {f"a{n}": ["x", "y"] for n in range(100_000)}},
        "100,000 attributes",
    ),
    "a name of a megabyte": ({"schema": lambda _: {"a" * 2**20: ["x", "y"]}}, "a name has at most 200"),
    "a large description": ({"config": lambda _: "[" + "1," * 2**23 + "1]"}, "more than 8,388,608 bytes"),
    "many lists": ({"config": lambda _: "[" + "[]," * (2**21) + "1]"}, "not the configuration of a bundle"),
    "many objects": (
        {"schema": lambda _: "{" + ",".join(f'"{n}":{{}}' for n in range(600_000)) + "}"},
        "attribute '0'",
    ),
    "deep lists": ({"preprocess": lambda _: "[" * 4_000_000}, "nested too deeply"),
    "a long number": ({"preprocess": lambda _: '{"size": ' + "1" * 1_000_000 + "}"}, "not valid JSON"),
    "a backbone from elsewhere": ({"config": model_with(backbone="hf-hub:evil/model")}, "timm has no model"),
    "a backbone by its path": ({"config": model_with(backbone="local-dir:/tmp")}, "timm has no model"),
    "numbers that are none": ({"preprocess": lambda _: '{"size": 64, "box_margin": NaN}'}, "NaN is not JSON"),
    "a key twice": ({"preprocess": lambda _: '{"size": 64, "size": 32}'}, "a key occurs twice"),
}

_MEASURED = """
import json, sys
from pathlib import Path
from gingham.errors import UserError
from gingham.inference.bundle import open_bundle
from gingham.inference.networks import structure_of
from gingham.models.catalogue import build_structure

build_structure("test_resnet", 64)  # what timm loads once

def status(name):
    return int(next(line for line in open("/proc/self/status") if line.startswith(name)).split()[1]) / 1024

refusals = {}
for folder in map(Path, sys.argv[1:]):
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = status("VmRSS")
    try:
        open_bundle(folder).network()
    except UserError as failure:
        refusals[folder.name] = [str(failure), status("VmHWM") - before]
print(json.dumps(refusals))
"""


@pytest.fixture(scope="module")
def refusals(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, float]]:
    """Claim -> the error, and by how many MB the peak of memory rose until then; in a process of its own."""
    place = tmp_path_factory.mktemp("claims")
    folders = [changed_bundle(model, place / claim, **changes) for claim, (changes, _) in CLAIMS.items()]
    result = subprocess.run(
        [sys.executable, "-c", _MEASURED, *map(str, folders)],
        text=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(_REPOSITORY / "src")},
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    found: dict[str, tuple[str, float]] = json.loads(result.stdout.splitlines()[-1])
    return found


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux, to measure memory")
@pytest.mark.parametrize("claim", CLAIMS)
def test_claims_are_refused_before_they_take_memory(refusals: dict[str, tuple[str, float]], claim: str) -> None:
    """Most takes a description of almost 8 MB; the claims are of up to terabytes."""
    message, grown = refusals[claim]
    assert re.search(CLAIMS[claim][1], message), message
    assert "\n" not in message
    assert len(message) < 1000
    assert f"/{claim}" in message  # the folder
    assert grown < 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensor: tensor.double(), "type F64 and shape"),
        (lambda tensor: tensor.half(), "type F16 and shape"),
        (lambda tensor: tensor.reshape(-1), r"shape \(96,\), expected F32 \(6, 16\)"),
        (lambda tensor: tensor * float("inf"), "not finite"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    model: Path, tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor], message: str
) -> None:
    spoilt = tiny.copied(model, tmp_path / "m")
    tensors = load_tensors(spoilt / "model.safetensors")
    tensors["head.queries"] = change(tensors["head.queries"])
    save_tensors(spoilt / "model.safetensors", tensors)
    write_manifest(spoilt)
    with pytest.raises(BundleError, match=f"tensor 'head.queries' .*{message}"):
        open_bundle(spoilt).network()


def test_tables_that_no_file_accounts_for_are_refused(model: Path, tmp_path: Path) -> None:
    """A convolutional network fits images of any size, but positions of so many cells take gigabytes."""
    changed = changed_bundle(
        model,
        tmp_path / "m",
        config=head_with(width=1024, ffn=1, encoder_layers=0),
        preprocess=lambda value: value | {"size": 4096},
    )
    structure = structure_of(open_bundle(changed).only, changed, tiny.SCHEMA)
    tensors = {name: torch.zeros_like(tensor, device="cpu") for name, tensor in structure.state_dict().items()}
    save_tensors(changed / "model.safetensors", tensors)
    write_manifest(changed)
    with pytest.raises(
        BundleError, match=r"for images of 4096 pixels this network takes .* GB, far more than its weights"
    ):
        open_bundle(changed).network()


def test_finite_weights_with_infinite_results_are_an_error(model: Path, tmp_path: Path, photos: list[Path]) -> None:
    spoilt = tiny.copied(model, tmp_path / "m")
    tensors = load_tensors(spoilt / "model.safetensors")
    tensors["head.norm.weight"].fill_(3e38)
    save_tensors(spoilt / "model.safetensors", tensors)
    write_manifest(spoilt)
    with pytest.raises(BundleError, match="the model gives values that are not finite"):
        Tagger.load(spoilt, device="cpu")(photos[0])


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "/etc/passwd",
        "a/../../outside",
        "C:\\x",
        "x/..",
        ".",
        "",
        "./config.json",
        "config.json/",
        "evil.py",
        "a\0b",
    ],
)
def test_a_manifest_lists_files_of_a_bundle_only(model: Path, tmp_path: Path, name: str) -> None:
    spoilt = tiny.copied(model, tmp_path / "m")
    (tmp_path / "outside").write_text("x")
    manifest = json.loads((spoilt / MANIFEST).read_text())
    manifest["sha256"][name] = "0" * 64
    (spoilt / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"manifest.json: it lists .* which this Gingham does not know") as caught:
        open_bundle(spoilt)
    assert "\0" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"sha256": []}', '{"sha256": {"config.json": 3}}', "[" * 100_000, '{"sha256": {}, "sha256": {}}'],
)
def test_what_is_no_manifest_is_refused(model: Path, tmp_path: Path, text: str) -> None:
    spoilt = tiny.copied(model, tmp_path / "m")
    (spoilt / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match=r"manifest.json: "):
        open_bundle(spoilt)


def _as_link(file: Path) -> None:
    file.rename(file.with_suffix(".real"))
    file.symlink_to(file.with_suffix(".real").name)


def _as_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _as_device(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def _as_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("name", [MANIFEST, "config.json", "schema.json", "README.md", "model.safetensors"])
@pytest.mark.parametrize("become", [_as_link, _as_pipe, _as_device, _as_folder])
def test_links_pipes_and_devices_are_not_read(
    model: Path, tmp_path: Path, name: str, become: Callable[[Path], None]
) -> None:
    spoilt = tiny.copied(model, tmp_path / "m")
    become(spoilt / name)
    with pytest.raises(BundleError):
        open_bundle(spoilt)


def test_a_folder_that_is_a_link_is_fine(model: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(model)
    assert open_bundle(tmp_path / "latest").hash == open_bundle(model).hash


def test_files_that_are_not_listed_do_not_matter(model: Path, tmp_path: Path) -> None:
    more = tiny.copied(model, tmp_path / "m")
    (more / "calibration.json").write_text("[" * 1000)
    (more / "evil.py").symlink_to("/etc/passwd")
    assert open_bundle(more).hash == open_bundle(model).hash


def test_archives_are_not_unpacked(model: Path, tmp_path: Path) -> None:
    archive = tmp_path / "m.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("../slipped", "x")
        for file in model.iterdir():
            stream.write(file, file.name)
    with pytest.raises(BundleError, match=r"m.zip: MODEL is a folder, and archives are not unpacked here"):
        open_bundle(archive)
    assert [file.name for file in tmp_path.iterdir()] == ["m.zip"]


def test_a_giant_header_is_not_read(model: Path, tmp_path: Path) -> None:
    spoilt = tiny.copied(model, tmp_path / "m")
    safetensors_file(spoilt / "model.safetensors", b" " * (9 * 2**20))
    write_manifest(spoilt)
    with pytest.raises(BundleError, match="a header of 9,437,184 bytes"):
        open_bundle(spoilt).network()
