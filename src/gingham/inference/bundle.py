"""A tagger on disk: one folder that is the model, with a manifest of its bytes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gingham
from gingham.data.options import DataOptions
from gingham.data.preprocess import Preprocess
from gingham.data.test_time import TestTime
from gingham.documents import DOCUMENT_LIMIT
from gingham.errors import BundleError
from gingham.inference.calibration import CALIBRATION, StoredCalibration, identity, read_calibration
from gingham.inference.member import CONFIG, WEIGHTS, Member
from gingham.models.network import Network
from gingham.models.options import ModelOptions
from gingham.schema import AttributeSchema
from gingham.storage import (
    MANIFEST,
    atomic_directory,
    read_json,
    sha256_file,
    verify_manifest,
    write_json,
    write_manifest,
    write_text,
)
from gingham.tensors import save_tensors

__all__ = [
    "CARD",
    "MOST_MEMBERS",
    "Bundle",
    "bundle_path",
    "describe",
    "file_names",
    "open_bundle",
    "weights_names",
    "write_bundle",
    "write_descriptions",
]

CARD = "README.md"
MOST_MEMBERS = 64

_SCHEMA = "schema.json"
_PREPROCESS = "preprocess.json"
_FORMAT = 3
"""1: one member, seen in one view, its preprocessing in a file of its own; 2: `members` says all of that of each;
3: as 2, with `calibration.json`."""


@dataclass(frozen=True)
class Bundle:
    """What a bundle says of itself; the weights are read by `networks`.

    Attributes:
        path: its folder.
        schema: the attributes that it tags.
        members: its networks, whose probabilities are averaged; mostly one.
        data: how the labels that it was trained on were read, so that it is measured on labels read alike.
        trained: free text values about the training (data, epoch, metrics).
        hash: SHA-256 of its manifest, which has the sum of every file.
        calibration: how logits become confidences, and what is promised; the identity, if it is not calibrated.
        calibrated: whether it has a `calibration.json`.
    """

    path: Path
    schema: AttributeSchema
    members: tuple[Member, ...]
    data: DataOptions
    trained: Mapping[str, Any]
    hash: str
    calibration: StoredCalibration
    calibrated: bool

    @property
    def only(self) -> Member:
        """The one member, for what needs a single network.

        Raises:
            BundleError: there are several.
        """
        if len(self.members) > 1:
            names = ", ".join(member.name or member.weights for member in self.members)
            raise BundleError(
                f"{self.path}: an ensemble of {len(self.members)}, and one network is needed here; give one of the "
                f"models that it was joined from: {names}"
            )
        return self.members[0]

    def network(self) -> Network:
        """The network of the only member. Raises `BundleError` as `only` and `networks`."""
        member = self.only
        self.check_weights()
        return member.network(self.path, self.schema)

    def networks(self) -> list[Network]:
        """Build the network of each member and load its weights, in evaluation mode.

        Raises:
            BundleError: as `check_weights`, or weights are not finite.
        """
        self.check_weights()
        return [member.network(self.path, self.schema) for member in self.members]

    def check_weights(self) -> None:
        """Check that all weights fit their networks, before any takes memory. Raises as `Member.check_weights`."""
        for member in self.members:
            member.check_weights(self.path, self.schema, members=len(self.members))

    def weights_limits(self) -> dict[str, int]:
        """File of weights -> bytes that it can have at most. Raises as `Member.structure`."""
        return {member.weights: member.weights_limit(self.path, self.schema) for member in self.members}


def weights_names(count: int) -> tuple[str, ...]:
    """The files of weights of a bundle with `count` members."""
    return (WEIGHTS,) if count == 1 else tuple(f"member-{number}.safetensors" for number in range(1, count + 1))


def bundle_path(model: Path) -> Path:
    """The bundle's folder for what the user calls MODEL: a bundle, or a run (then its best).

    Raises:
        BundleError: neither; the message says what is missing.
    """
    if (model / "config.json").is_file():
        return model
    if (model / "best" / "config.json").is_file():
        return model / "best"
    if (model / "recipe.yaml").is_file():
        raise BundleError(f"{model}: a run that has no model yet; go on with train --resume")
    if not model.exists():
        hint = (
            f"; from the Hub: gingham pull {model} --out FOLDER"
            if len(model.parts) == 2 and not model.is_absolute()
            else ""
        )
        raise BundleError(f"{model}: no such folder; MODEL is a bundle or the --out folder of a training run{hint}")
    if not model.is_dir():
        raise BundleError(
            f"{model}: MODEL is a folder, and archives are not unpacked here; unpack it and give its folder"
        )
    raise BundleError(f"{model}: neither a bundle (no config.json) nor a run (no best/config.json)")


def open_bundle(model: Path) -> Bundle:
    """Read and check a bundle, or a run's best.

    Raises:
        BundleError: missing, damaged, changed since it was written, or of a later format.
    """
    path = bundle_path(model)
    known = {CONFIG, _SCHEMA, _PREPROCESS, CALIBRATION, CARD, WEIGHTS, *weights_names(MOST_MEMBERS)}
    sums = verify_manifest(path, known)
    _require_listed(path, sums, (CONFIG,))
    names = file_names(path)
    _require_listed(path, sums, names)
    if unused := sorted(sums.keys() - {*names, CARD}):
        raise BundleError(f"{path / MANIFEST}: it lists {unused[0]}, of which {CONFIG} knows nothing; copy it again")
    return describe(path)


def _require_listed(path: Path, sums: Mapping[str, str], names: Iterable[str]) -> None:
    for name in names:
        if name not in sums:
            raise BundleError(f"{path / MANIFEST}: it does not list {name}, so nothing vouches for that; copy it again")


def file_names(path: Path) -> tuple[str, ...]:
    """The files that a bundle consists of, by its `config.json`; besides its card and manifest.

    Raises:
        BundleError: `config.json` is missing or malformed, or of a later format.
    """
    config = _read_config(path)
    documents = {1: (_PREPROCESS,), 2: (), 3: (CALIBRATION,)}[config["format"]]
    return CONFIG, _SCHEMA, *documents, *weights_names(len(config["members"]))


def describe(path: Path) -> Bundle:
    """Read what a bundle's folder says of itself; whether its bytes are those of the manifest is not checked.

    Raises:
        BundleError: a file is missing or malformed, or of a later format.
        SchemaError: `schema.json` holds no schema.
    """
    config = _read_config(path)
    schema = AttributeSchema.from_plain(_read(path, _SCHEMA), source=str(path / _SCHEMA))
    try:
        members = _only_member(path, config) if config["format"] == 1 else _all_members(path, config)
        data, trained = dict(config["data"]), dict(config["trained"])
    except (KeyError, TypeError, ValueError):
        raise _malformed(path) from None
    calibrated = config["format"] == 3
    return Bundle(
        path=path,
        schema=schema,
        members=members,
        data=DataOptions.parse(data, source=str(path / CONFIG), error=BundleError),
        trained=trained,
        hash=sha256_file(path / MANIFEST),
        calibration=read_calibration(path / CALIBRATION, schema) if calibrated else identity(schema),
        calibrated=calibrated,
    )


def _read(path: Path, name: str) -> Any:
    return read_json(path / name, limit=DOCUMENT_LIMIT)


def _malformed(path: Path) -> BundleError:
    return BundleError(f"{path / CONFIG}: not the configuration of a bundle")


def _read_config(path: Path) -> Any:
    """`config.json`, of a format, runtime and number of members that are known here."""
    config = _read(path, CONFIG)
    try:
        if config["format"] > _FORMAT:
            raise BundleError(
                f"{path}: written by Gingham {config['gingham']}, format {config['format']}; upgrade Gingham"
            )
        known = config["format"] in (1, 2, 3) and config["runtime"] == "torch" and isinstance(config["members"], list)
        if not known or not 1 <= len(config["members"]) <= (1 if config["format"] == 1 else MOST_MEMBERS):
            raise BundleError(f"{path / CONFIG}: runtime {config['runtime']!r} or its members are not known here")
    except (KeyError, TypeError):
        raise _malformed(path) from None
    return config


def _only_member(path: Path, config: Any) -> tuple[Member, ...]:
    """The member of format 1."""
    if config["members"] != [WEIGHTS]:
        raise BundleError(f"{path / CONFIG}: the members are {WEIGHTS} and nothing else in this format")
    model = ModelOptions.parse(dict(config["model"]), source=str(path / CONFIG), error=BundleError)
    preprocess = Preprocess.parse(_read(path, _PREPROCESS), source=str(path / _PREPROCESS), error=BundleError)
    return (Member(model=model, preprocess=preprocess),)


def _all_members(path: Path, config: Any) -> tuple[Member, ...]:
    """The members of formats 2 and 3."""
    members = []
    for number, name in enumerate(weights_names(len(config["members"]))):
        source = f"{path / CONFIG}: members.{number}"
        member = Member.parse(dict(config["members"][number]), source=source, error=BundleError)
        # Names are for reading; what is read is known beforehand.
        if member.weights != name:
            raise BundleError(f"{source}.weights: expected {name!r}, got {member.weights[:100]!r}")
        members.append(member)
    return tuple(members)


def write_bundle(
    path: Path,
    *,
    network: Network,
    member: Member,
    schema: AttributeSchema,
    data: DataOptions,
    trained: Mapping[str, Any],
    card: str,
) -> None:
    """Write a bundle of one network, whole or not at all; an older one at `path` is replaced.

    Args:
        path: the folder to make.
        network: the weights.
        member: the network's structure and how it looks at images, with mean and std filled in.
        schema: the attributes, in the order of the network's logits.
        data: see `Bundle`.
        trained: see `Bundle`.
        card: the model card, Markdown.

    Raises:
        MachineError: the disk is full or refuses.
    """
    with atomic_directory(path) as folder:
        write_descriptions(folder, [member], schema=schema, data=data, trained=trained, card=card)
        save_tensors(folder / WEIGHTS, network.state_dict())
        write_manifest(folder)


def write_descriptions(
    folder: Path,
    members: Sequence[Member],
    *,
    schema: AttributeSchema,
    data: DataOptions,
    trained: Mapping[str, Any],
    card: str,
    calibration: Mapping[str, Any] | None = None,
) -> None:
    """Write all files of a bundle but the weights and the manifest. See `write_bundle`.

    What an older Gingham can use has the format that it reads. With a calibration (`to_plain`) it must not: its
    confidences would be others.
    """
    plain = {"runtime": "torch", "data": data.model_dump(mode="json"), "trained": dict(trained)}
    number = 2 if calibration is None else _FORMAT
    config: dict[str, Any] = {"format": number, "gingham": gingham.__version__, **plain}
    if calibration is None and len(members) == 1 and members[0].test_time == TestTime():
        config |= {"format": 1, "members": [WEIGHTS], "model": members[0].model.model_dump(mode="json")}
        write_json(folder / _PREPROCESS, members[0].preprocess.model_dump(mode="json"))
    else:
        config["members"] = [member.model_dump(mode="json") for member in members]
    if calibration is not None:
        write_json(folder / CALIBRATION, calibration)
    write_json(folder / CONFIG, config)
    write_json(folder / _SCHEMA, schema.to_plain())
    write_text(folder / CARD, card)
