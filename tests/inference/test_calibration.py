"""`calibration.json`: read as it was written, refused where it does not fit, and what tags become of it."""

import copy
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from gingham.errors import BundleError, UserError
from gingham.evaluation.calibration import Calibration
from gingham.inference import bundle as bundle_module
from gingham.inference.bulk import tag_images
from gingham.inference.bundle import open_bundle
from gingham.inference.calibrate import check_predictions, check_unseen, write_calibrated
from gingham.inference.calibration import CALIBRATION, to_plain
from gingham.inference.decide import Decider
from gingham.inference.join import join_bundles
from gingham.inference.tagger import Item, Tagger
from gingham.predictions import Predictions
from gingham.schema import AttributeSchema
from gingham.storage import MANIFEST, sha256_file, write_manifest
from tests import tiny
from tests.inference.calibrations import FACTS, calibrated_bundle, found, labelled


@pytest.fixture(scope="module")
def calibrated(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return calibrated_bundle(model, tmp_path_factory.mktemp("calibrated") / "m")


def test_what_is_written_is_read_and_the_networks_are_the_same(model: Path, calibrated: Path) -> None:
    before, after = open_bundle(model), open_bundle(calibrated)
    assert (before.calibrated, after.calibrated) == (False, True)
    assert {file.name for file in calibrated.iterdir()} == {
        *("config.json", "schema.json", "README.md", "model.safetensors", CALIBRATION, MANIFEST)
    }
    assert sha256_file(model / "model.safetensors") == sha256_file(calibrated / "model.safetensors")
    assert before.only == after.only
    assert (before.schema, before.data, before.trained) == (after.schema, after.data, after.trained)
    expected, stored = found(), after.calibration
    for one, same in zip(expected.calibration.attributes, stored.calibration.attributes, strict=True):
        assert (one.temperature, one.method, one.photos) == (same.temperature, same.method, same.photos)
        assert (one.bias == same.bias).all()
        assert (one.offsets == same.offsets).all()
    assert stored.decisions == expected.decisions
    assert stored.sets == expected.sets
    assert stored.measured["pattern"] == (expected.measured["pattern"].before, expected.measured["pattern"].after)
    assert stored.facts == {**FACTS, "photos": stored.facts["photos"]}
    assert len({file.stat().st_mode for file in calibrated.iterdir()}) == 1


def test_a_gingham_that_knows_no_calibration_refuses_it(calibrated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_module, "_FORMAT", 2)
    with pytest.raises(BundleError, match="format 3; upgrade Gingham"):
        open_bundle(calibrated)


def test_the_card_says_it_once(calibrated: Path, tmp_path: Path) -> None:
    again = calibrated_bundle(calibrated, tmp_path / "again")
    first, second = ((place / "README.md").read_text() for place in (calibrated, again))
    assert first == second
    assert first.count("\n\n## Calibration\n\n") == 1
    assert "not calibrated" not in first
    assert "with a confidence of 95% over the draw" in first


def test_the_tagger_gives_calibrated_confidences(model: Path, calibrated: Path, photos: list[Path]) -> None:
    plain, tagger = Tagger.load(model, device="cpu"), Tagger.load(calibrated, device="cpu")
    before, after = plain(photos[0]), tagger(photos[0], precision=0.7, coverage=0.9, top_k=2)
    (outcome,) = plain.stream([Item("a", photos[0])])
    assert outcome.logits is not None
    expected = found().calibration.probabilities(outcome.logits[None])[0]
    (decisions,) = [one for one in found().decisions if one.precision == 0.7]
    thresholds = decisions.thresholds(tiny.SCHEMA)
    for attribute, part in zip(tiny.SCHEMA.attributes, tiny.SCHEMA.slices, strict=True):
        old, new = before[attribute.name], after[attribute.name]
        best = attribute.index[old.label]
        assert old[2:] == (None, None, None)
        assert new.label == old.label
        assert new.confidence == pytest.approx(expected[part][best], abs=1e-5)
        assert new.accepted == (new.confidence >= thresholds[part][best])
        assert new.among is not None
        assert new.label in new.among
        assert new.top is not None
        ranked = np.sort(expected[part])[::-1]
        assert [share for _, share in new.top] == pytest.approx(ranked[:2].tolist(), abs=1e-5)
    assert any(before[name].confidence != pytest.approx(after[name].confidence, abs=1e-3) for name in before)


def test_nothing_stored_is_refused(model: Path, calibrated: Path) -> None:
    tagger = Tagger.load(calibrated, device="cpu")
    with pytest.raises(UserError, match=r"--precision 0.9: this model stores thresholds for 0.7, 0.99; "):
        tagger.decider(precision=0.9)
    with pytest.raises(UserError, match=r"--coverage 0.8: this model stores prediction sets for 0.9; "):
        tagger.decider(coverage=0.8)
    with pytest.raises(UserError, match=r"--top-k 0: must be at least 1"):
        tagger.decider(top_k=0)
    with pytest.raises(UserError, match=r"this model stores no thresholds; gingham calibrate"):
        Tagger.load(model, device="cpu").decider(precision=0.9)


def test_too_few_photos_accept_nothing(calibrated: Path, photos: list[Path]) -> None:
    stored = open_bundle(calibrated).calibration
    for (group,) in stored.decisions[1].groups.values():
        assert (group.threshold, group.photos, group.needed) == (None, 160, 299)
    tags = Tagger.load(calibrated, device="cpu")(photos[0], precision=0.99)
    assert not any(tag.accepted for tag in tags.values())


def test_prior_correction_moves_tags_and_confidence_goes_with_them(model: Path, tmp_path: Path) -> None:
    stored = open_bundle(calibrated_bundle(model, tmp_path / "m", prior_correction=True)).calibration
    decider = Decider(tiny.SCHEMA, stored, top_k=1)
    logits = labelled().logits
    tags = [decider(row) for row in logits]
    moved = 0
    for row, found_tags in zip(logits, tags, strict=True):
        for attribute, part, one in zip(
            tiny.SCHEMA.attributes, tiny.SCHEMA.slices, stored.calibration.attributes, strict=True
        ):
            tag = found_tags[attribute.name]
            assert tag.label == attribute.classes[int((row[part] + one.offsets).argmax())]
            assert tag.top is not None
            assert tag.confidence <= tag.top[0][1]
            moved += tag.label != attribute.classes[int(row[part].argmax())]
    assert moved


def test_tables_have_what_was_asked_for(calibrated: Path, photos: list[Path], tmp_path: Path) -> None:
    tagger = Tagger.load(calibrated, device="cpu")
    decider = tagger.decider(precision=0.7, coverage=0.9, top_k=2)
    items = [Item("a", photos[0]), Item("b", b"no image")]
    tags = decider(next(iter(tagger.stream(items))).logits)  # type: ignore[arg-type]
    for name in ("t.csv", "t.jsonl", "t.parquet"):
        tag_images(tagger, items, tmp_path / name, total=2, options={}, decider=decider)
    rows = {
        "t.csv": list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines())),
        "t.jsonl": [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()],
        "t.parquet": pq.read_table(tmp_path / "t.parquet").to_pylist(),
    }
    for name, (tagged, failed) in rows.items():
        for attribute, tag in tags.items():
            accepted, among = tagged[f"{attribute}_accepted"], tagged[f"{attribute}_set"]
            top, confidences = tagged[f"{attribute}_top"], tagged[f"{attribute}_top_confidence"]
            if name == "t.csv":
                accepted, among, top, confidences = map(json.loads, (accepted, among, top, confidences))
                assert failed[f"{attribute}_accepted"] == failed[f"{attribute}_set"] == ""
            else:
                assert failed[f"{attribute}_accepted"] is None
                assert failed[f"{attribute}_top"] is None
            assert (accepted, tuple(among)) == (tag.accepted, tag.among)
            assert tuple(zip(top, confidences, strict=True)) == tag.top
        assert failed["error"] == "unreadable"
    manifest = json.loads((tmp_path / "t.csv.manifest.json").read_text())
    assert manifest["promise"]["precision"] == 0.7
    assert manifest["calibration"]["data"] == FACTS["data"]


def test_two_columns_of_one_name_are_refused(photos: list[Path], tmp_path: Path) -> None:
    schema = AttributeSchema.of({"kind": ["a", "b"], "kind_top": ["a", "b"]})
    tagger = Tagger.load(tiny.bundle(tmp_path / "m", schema=schema), device="cpu")
    out = tmp_path / "t.csv"
    with pytest.raises(UserError, match="two columns would be called 'kind_top'"):
        tag_images(tagger, [], out, total=0, options={}, decider=tagger.decider(top_k=1))
    assert not out.exists()


def test_an_ensemble_has_no_calibration_of_its_members(model: Path, calibrated: Path, tmp_path: Path) -> None:
    other = tiny.bundle(tmp_path / "other", seed=5)
    joined = join_bundles([calibrated, other], tmp_path / "joined")
    assert not joined.calibrated
    whole = open_bundle(calibrated_bundle(tmp_path / "joined", tmp_path / "whole"))
    assert whole.calibrated
    assert len(whole.members) == 2
    assert len(whole.networks()) == 2


CHANGES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "not an object": (lambda _: [], "not a calibration"),
    "of a later format": (lambda value: value | {"format": 2}, "of format 2, .*upgrade"),
    "of no format": (lambda value: value | {"format": "1"}, "format"),
    "an unknown field": (lambda value: value | {"code": "x"}, "unknown field 'code'"),
    "another schema": (lambda value: value | {"schema_fingerprint": "0"}, "calibrates another schema"),
    "an attribute less": (lambda value: _without(value, "attributes", "fit"), "attributes: attribute 'fit'"),
    "a temperature of 0": (lambda value: _attribute(value, temperature=0), "temperature"),
    "a temperature of infinity": (lambda value: _attribute(value, temperature=float("inf")), "temperature"),
    "a bias less": (lambda value: _attribute(value, bias=[0.0]), "1 biases and 7 offsets for 7 classes"),
    "a huge bias": (lambda value: _attribute(value, bias=[1e300] * 7), "bias"),
    "an unknown method": (lambda value: _attribute(value, method="magic"), "method"),
    "a threshold above 1": (lambda value: _group(value, threshold=1.5), "threshold"),
    "a class in no group": (lambda value: _group(value, classes=["floral"]), "must hold each class once"),
    "a negative count": (lambda value: _group(value, photos=-1), "photos"),
    "a set of an unknown attribute": (lambda value: _without(value, "sets", "least"), "sets"),
    "a thousand promises": (lambda value: value | {"decisions": value["decisions"] * 60}, "decisions"),
    "a text of a megabyte": (lambda value: value | {"facts": {"data": "x" * 2**20}}, "facts"),
}


def _without(value: Any, key: str, name: str) -> Any:
    changed = copy.deepcopy(value)
    (changed[key] if key == "attributes" else changed[key][0]).pop(name)
    return changed


def _attribute(value: Any, **changes: object) -> Any:
    changed = copy.deepcopy(value)
    changed["attributes"]["pattern"] |= changes
    return changed


def _group(value: Any, **changes: object) -> Any:
    changed = copy.deepcopy(value)
    changed["decisions"][0]["groups"]["pattern"][0] |= changes
    return changed


@pytest.mark.parametrize("claim", CHANGES)
def test_a_calibration_from_a_stranger_is_refused(calibrated: Path, tmp_path: Path, claim: str) -> None:
    change, message = CHANGES[claim]
    spoilt = tiny.copied(calibrated, tmp_path / "m")
    plain = json.loads((spoilt / CALIBRATION).read_text())
    (spoilt / CALIBRATION).write_text(json.dumps(change(plain)).replace("Infinity", "1e999"))
    write_manifest(spoilt)
    with pytest.raises(BundleError, match=message) as caught:
        open_bundle(spoilt)
    assert CALIBRATION in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_bytes_that_the_manifest_does_not_know_are_refused(calibrated: Path, model: Path, tmp_path: Path) -> None:
    spoilt = tiny.copied(calibrated, tmp_path / "m")
    (spoilt / CALIBRATION).write_text("{}")
    with pytest.raises(BundleError, match="SHA-256 differs"):
        open_bundle(spoilt)
    # A calibration beside a bundle of an older format is none of its files.
    stray = tiny.copied(model, tmp_path / "stray")
    (stray / CALIBRATION).write_text(json.dumps(to_plain(found(), FACTS)))
    assert not open_bundle(stray).calibrated
    write_manifest(stray)
    with pytest.raises(BundleError, match=f"lists {CALIBRATION}, of which config.json knows nothing"):
        open_bundle(stray)


def test_nothing_is_replaced(model: Path, calibrated: Path) -> None:
    before = (calibrated / MANIFEST).read_bytes()
    with pytest.raises(UserError, match="exists; choose another folder"):
        write_calibrated(open_bundle(model), found(), calibrated, facts=FACTS)
    assert (calibrated / MANIFEST).read_bytes() == before


def trained_on(tmp_path: Path, **facts: object) -> Any:
    import dataclasses

    return dataclasses.replace(open_bundle(tiny.bundle(tmp_path / "m")), trained=facts)


def test_photos_that_it_was_trained_on_are_refused(tmp_path: Path) -> None:
    photos = str(tmp_path / "photos")
    plain = trained_on(tmp_path, data=photos, epoch=3, epochs=3)
    with pytest.raises(UserError, match=r"--split train: .* was trained on these photos"):
        check_unseen(plain, photos, "train")
    assert check_unseen(plain, photos, "val") == []
    assert "among them is assumed" in check_unseen(plain, str(tmp_path / "others"), "train")[0]


def test_what_is_assumed_is_said(tmp_path: Path) -> None:
    photos = str(tmp_path / "photos")
    chosen = trained_on(tmp_path, data=photos, epoch=2, epochs=3)
    assert "epoch 2 of 3 was chosen on these photos" in check_unseen(chosen, photos, "val")[0]
    assert check_unseen(chosen, photos, "test") == []


def test_a_model_of_all_folds_has_seen_all_but_test(tmp_path: Path) -> None:
    photos = str(tmp_path / "photos")
    joint = trained_on(tmp_path, data=photos, folds=5)
    with pytest.raises(UserError, match=r"joins the models of all folds.*predictions-oof\.parquet"):
        check_unseen(joint, photos, "val")
    assert check_unseen(joint, photos, "test") == []


def test_saved_predictions_must_be_of_the_model(model: Path, tmp_path: Path) -> None:
    bundle, file = open_bundle(model), tmp_path / "p.parquet"
    own = labelled()
    named = Predictions(own.schema, own.ids, own.logits, own.targets, {}, {"model": bundle.hash, "split": "test"})
    assert "assumed" in check_predictions(bundle, named, file)[0]
    with pytest.raises(UserError, match="predictions of another model"):
        check_predictions(bundle, own, file)


def test_out_of_fold_predictions_are_known_by_their_metrics(tmp_path: Path) -> None:
    from gingham.evaluation.metrics import evaluate

    own = labelled()
    source = {"model": "", "split": "out of fold"}
    oof = Predictions(own.schema, own.ids, own.logits, own.targets, {}, source)
    metrics = evaluate(own, bootstrap=0).to_json()
    joint = trained_on(tmp_path, data="photos", folds=5, metrics=metrics)
    assert "by the models of the other folds" in check_predictions(joint, oof, tmp_path / "p")[0]
    other = Predictions(own.schema, own.ids, labelled(seed=1).logits, own.targets, {}, source)
    with pytest.raises(UserError, match="predictions of another model"):
        check_predictions(joint, other, tmp_path / "p")


def test_the_identity_of_an_uncalibrated_bundle(model: Path) -> None:
    stored = open_bundle(model).calibration
    logits = labelled().logits
    expected = Calibration.identity(tiny.SCHEMA).probabilities(logits)
    assert (stored.calibration.probabilities(logits) == expected).all()
    assert (stored.decisions, stored.sets, stored.measured) == ((), (), {})
