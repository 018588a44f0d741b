"""`calibration.json` of a bundle: written, and read with care, since anybody may have written it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from gingham.documents import DOCUMENT_LIMIT
from gingham.errors import BundleError
from gingham.evaluation.calibrated import Calibrated
from gingham.evaluation.calibration import (
    HIGHEST_TEMPERATURE,
    LOWEST_TEMPERATURE,
    AttributeCalibration,
    Calibration,
    Method,
)
from gingham.evaluation.decisions import Decisions, Group
from gingham.evaluation.reliability import Score, Scores
from gingham.evaluation.sets import PredictionSets
from gingham.options import Options
from gingham.schema import AttributeSchema
from gingham.storage import read_json

__all__ = ["CALIBRATION", "StoredCalibration", "identity", "read_calibration", "to_plain"]

CALIBRATION = "calibration.json"

_FORMAT = 1

_Number = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Inside = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, le=10**12)]
_Text = Annotated[str, Field(max_length=4096)]


class _Attribute(Options):
    method: Method
    temperature: Annotated[float, Field(ge=LOWEST_TEMPERATURE, le=HIGHEST_TEMPERATURE, allow_inf_nan=False)]
    bias: tuple[_Number, ...]
    offsets: tuple[_Number, ...]
    photos: _Count


class _Group(Options):
    classes: tuple[_Text, ...]
    threshold: _Share | None
    photos: _Count
    needed: _Count
    accepted: _Count
    right: _Count


class _Decisions(Options):
    precision: _Inside
    level: _Inside
    joint: bool
    per_class: bool
    groups: dict[_Text, tuple[_Group, ...]]


class _Sets(Options):
    coverage: _Inside
    least: dict[_Text, _Share]
    photos: dict[_Text, _Count]


class _Score(Options):
    value: _Number
    ci95: tuple[_Number, _Number] | None


class _Scores(Options):
    n: _Count
    ece: _Score
    ece_by_chance: _Number
    nll: _Score
    brier: _Score


class _Measured(Options):
    before: _Scores
    after: _Scores


class _File(Options):
    format: Literal[1]
    schema_fingerprint: _Text
    attributes: dict[_Text, _Attribute]
    decisions: tuple[_Decisions, ...] = Field(max_length=100)
    sets: tuple[_Sets, ...] = Field(max_length=100)
    measured: dict[_Text, _Measured]
    facts: dict[_Text, _Text]


@dataclass(frozen=True)
class StoredCalibration:
    """What a bundle stores of its calibration.

    Attributes:
        calibration: from logits to tags and confidences.
        decisions: one for each promise.
        sets: one for each coverage.
        measured: attribute -> scores before and after.
        facts: in words: the data, split, photos and what is assumed.
    """

    calibration: Calibration
    decisions: tuple[Decisions, ...] = ()
    sets: tuple[PredictionSets, ...] = ()
    measured: Mapping[str, tuple[Scores, Scores]] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


def identity(schema: AttributeSchema) -> StoredCalibration:
    """That of a bundle without the file: confidences are those of the softmax, and nothing is promised."""
    return StoredCalibration(Calibration.identity(schema))


def to_plain(found: Calibrated, facts: Mapping[str, str]) -> dict[str, Any]:
    """The content of `calibration.json`.

    Args:
        found: the calibration.
        facts: in words: the data, split, photos and what is assumed.
    """
    schema = found.calibration.schema
    return {
        "format": _FORMAT,
        "schema_fingerprint": schema.fingerprint,
        "facts": dict(facts),
        "attributes": {
            name: {
                "method": one.method,
                "temperature": one.temperature,
                "bias": one.bias.tolist(),
                "offsets": one.offsets.tolist(),
                "photos": one.photos,
            }
            for name, one in zip(schema.names, found.calibration.attributes, strict=True)
        },
        "decisions": [asdict(one) for one in found.decisions],
        "sets": [asdict(one) for one in found.sets],
        "measured": {name: asdict(one) for name, one in found.measured.items()},
    }


def read_calibration(path: Path, schema: AttributeSchema) -> StoredCalibration:
    """Read `calibration.json` and check that it fits the schema.

    Raises:
        BundleError: it is missing, malformed, of a later format, or of another schema; names the file and field.
    """
    plain = read_json(path, limit=DOCUMENT_LIMIT)
    if not isinstance(plain, dict):
        raise BundleError(f"{path}: not a calibration")
    if isinstance(plain.get("format"), int) and plain["format"] > _FORMAT:
        raise BundleError(f"{path}: of format {plain['format']}, which a later Gingham wrote; upgrade Gingham")
    file = _File.parse(plain, source=str(path), error=BundleError)
    if file.schema_fingerprint != schema.fingerprint:
        raise BundleError(f"{path}: it calibrates another schema than the bundle's; calibrate the model itself again")
    _check_names(path, "attributes", file.attributes, schema)
    for one in file.decisions:
        _check_names(path, "decisions", one.groups, schema)
        _check_groups(path, one, schema)
    for each in file.sets:
        _check_names(path, "sets", each.least, schema)
        _check_names(path, "sets", each.photos, schema)
    if unknown := sorted(file.measured.keys() - set(schema.names)):
        raise BundleError(f"{path}: measured: no attribute '{unknown[0]}' in the bundle's schema")
    return StoredCalibration(
        calibration=Calibration(schema, tuple(_attributes(path, file, schema))),
        decisions=tuple(
            Decisions(
                one.precision,
                one.level,
                one.joint,
                one.per_class,
                {name: tuple(Group(**dict(group)) for group in groups) for name, groups in one.groups.items()},
            )
            for one in file.decisions
        ),
        sets=tuple(PredictionSets(one.coverage, one.least, one.photos) for one in file.sets),
        measured={name: (_scores(one.before), _scores(one.after)) for name, one in file.measured.items()},
        facts=file.facts,
    )


def _check_names(path: Path, where: str, named: Mapping[str, object], schema: AttributeSchema) -> None:
    if set(named) != set(schema.names):
        name = min(set(named) ^ set(schema.names))
        raise BundleError(f"{path}: {where}: attribute '{name}' is not in both this file and the bundle's schema")


def _check_groups(path: Path, decisions: _Decisions, schema: AttributeSchema) -> None:
    for attribute in schema.attributes:
        classes = [label for group in decisions.groups[attribute.name] for label in group.classes]
        if sorted(classes) != sorted(attribute.classes):
            raise BundleError(f"{path}: decisions: the groups of '{attribute.name}' must hold each class once")


def _attributes(path: Path, file: _File, schema: AttributeSchema) -> list[AttributeCalibration]:
    found = []
    for attribute in schema.attributes:
        one = file.attributes[attribute.name]
        if len(one.bias) != len(attribute) or len(one.offsets) != len(attribute):
            raise BundleError(
                f"{path}: attributes.{attribute.name}: {len(one.bias)} biases and {len(one.offsets)} offsets "
                f"for {len(attribute)} classes"
            )
        found.append(
            AttributeCalibration(one.temperature, np.array(one.bias), np.array(one.offsets), one.method, one.photos)
        )
    return found


def _scores(one: _Scores) -> Scores:
    return Scores(one.n, _score(one.ece), one.ece_by_chance, _score(one.nll), _score(one.brier))


def _score(one: _Score) -> Score:
    return Score(one.value, one.ci95)
