"""A tagger on disk: one folder that is the model, with a manifest of its bytes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from gingham.data.options import DataOptions
from gingham.data.preprocess import Preprocess
from gingham.documents import DOCUMENT_LIMIT
from gingham.errors import BundleError
from gingham.inference.calibration import CALIBRATION, StoredCalibration, identity, read_calibration
from gingham.inference.member import CONFIG, WEIGHTS, Member, Precision, RuntimeName, files_of, weights_names
from gingham.models.options import ModelOptions
from gingham.schema import AttributeSchema
from gingham.storage import MANIFEST, read_json, sha256_file, verify_manifest

if TYPE_CHECKING:
    from gingham.models.network import Network

__all__ = [
    "CARD",
    "MOST_MEMBERS",
    "PREPROCESS",
    "SCHEMA",
    "Bundle",
    "bundle_path",
    "describe",
    "file_names",
    "open_bundle",
]

CARD = "README.md"
MOST_MEMBERS = 64

SCHEMA = "schema.json"
PREPROCESS = "preprocess.json"
"""The preprocessing of an only member, in format 1."""
_FORMAT = 4
"""1: one member, seen in one view, its preprocessing in a file of its own; 2: `members` says all of that of each;
3: as 2, with `calibration.json`; 4: as 2, exported: `runtime` and `precision` say for what, `calibrated` whether there
is a `calibration.json`."""

_GRAPH_SLACK = 64 * 2**20


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
        runtime: the library that runs its networks.
        precision: what their weights are.
        exported: of an exported model, what it comes from and how it was checked; else empty.
    """

    path: Path
    schema: AttributeSchema
    members: tuple[Member, ...]
    data: DataOptions
    trained: Mapping[str, Any]
    hash: str
    calibration: StoredCalibration
    calibrated: bool
    runtime: RuntimeName = "torch"
    precision: Precision = "fp32"
    exported: Mapping[str, str] = field(default_factory=dict)

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

    def require_weights(self) -> None:
        """Raises `BundleError` for an exported model, which is for tagging only."""
        if self.exported:
            raise BundleError(
                f"{self.path}: exported ({self.runtime} {self.precision}), for tagging only; give the model that it "
                "was exported from"
            )

    def network(self) -> "Network":
        """The network of the only member, as it was trained.

        Raises:
            BundleError: as `only`, `require_weights` and `networks`.
        """
        self.require_weights()
        _ = self.only
        return self.networks()[0]

    def networks(self) -> "list[Network]":
        """Build the network of each member in PyTorch and load its weights, in evaluation mode.

        Raises:
            BundleError: as `check_weights`, weights are not finite, or it was exported for another library.
        """
        # Here and below, so that who runs an exported model pays for no PyTorch.
        from gingham.inference.networks import load_network

        if self.runtime != "torch":
            self.require_weights()
        self.check_weights()
        bf16 = self.precision == "bf16"
        return [load_network(member, self.path, self.schema, bf16=bf16) for member in self.members]

    def check_weights(self) -> None:
        """Check that all weights fit their networks, before any takes memory. Raises as `networks.check_weights`.

        The graphs of other libraries are checked by these, when they are loaded.
        """
        if self.runtime != "torch":
            return
        from gingham.inference.networks import check_weights

        bf16 = self.precision == "bf16"
        for member in self.members:
            check_weights(member, self.path, self.schema, members=len(self.members), bf16=bf16)

    def weights_limits(self) -> dict[str, int]:
        """File of weights -> bytes that it can have at most. Raises as `networks.structure_of`."""
        from gingham.inference.networks import weights_limit

        limits: dict[str, int] = {}
        for member in self.members:
            limit = weights_limit(member, self.path, self.schema)
            # A graph also holds what PyTorch computes when it builds a network.
            limit = limit if self.runtime == "torch" else 2 * limit + _GRAPH_SLACK
            limits |= dict.fromkeys(files_of(member.weights, self.runtime), limit)
        return limits


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
    known = {CONFIG, SCHEMA, PREPROCESS, CALIBRATION, CARD}
    for runtime in get_args(RuntimeName):
        for weights in (*weights_names(1, runtime), *weights_names(MOST_MEMBERS, runtime)):
            known.update(files_of(weights, runtime))
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
    documents = (PREPROCESS,) * (config["format"] == 1) + (CALIBRATION,) * _is_calibrated(config)
    runtime = config["runtime"]
    weights = weights_names(len(config["members"]), runtime)
    return CONFIG, SCHEMA, *documents, *(file for name in weights for file in files_of(name, runtime))


def describe(path: Path) -> Bundle:
    """Read what a bundle's folder says of itself; whether its bytes are those of the manifest is not checked.

    Raises:
        BundleError: a file is missing or malformed, or of a later format.
        SchemaError: `schema.json` holds no schema.
    """
    config = _read_config(path)
    schema = AttributeSchema.from_plain(_read(path, SCHEMA), source=str(path / SCHEMA))
    try:
        members = _only_member(path, config) if config["format"] == 1 else _all_members(path, config)
        data, trained = dict(config["data"]), dict(config["trained"])
        exported = {str(key): str(value) for key, value in dict(config.get("exported", {})).items()}
    except (KeyError, TypeError, ValueError):
        raise _malformed(path) from None
    calibrated = _is_calibrated(config)
    return Bundle(
        path=path,
        schema=schema,
        members=members,
        data=DataOptions.parse(data, source=str(path / CONFIG), error=BundleError),
        trained=trained,
        hash=sha256_file(path / MANIFEST),
        calibration=read_calibration(path / CALIBRATION, schema) if calibrated else identity(schema),
        calibrated=calibrated,
        runtime=config["runtime"],
        precision=config.get("precision", "fp32"),
        exported=exported,
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
        known = config["format"] in (1, 2, 3, 4) and isinstance(config["members"], list)
        if config["format"] == 4:
            known = (
                known
                and config["runtime"] in get_args(RuntimeName)
                and config["precision"] in get_args(Precision)
                and isinstance(config["calibrated"], bool)
                and bool(config["exported"])
            )
        else:
            known = known and config["runtime"] == "torch"
        if not known or not 1 <= len(config["members"]) <= (1 if config["format"] == 1 else MOST_MEMBERS):
            raise BundleError(f"{path / CONFIG}: runtime {config['runtime']!r} or its members are not known here")
    except (KeyError, TypeError):
        raise _malformed(path) from None
    return config


def _is_calibrated(config: Any) -> bool:
    return bool(config["format"] == 3 or (config["format"] == 4 and config["calibrated"]))


def _only_member(path: Path, config: Any) -> tuple[Member, ...]:
    """The member of format 1."""
    if config["members"] != [WEIGHTS]:
        raise BundleError(f"{path / CONFIG}: the members are {WEIGHTS} and nothing else in this format")
    model = ModelOptions.parse(dict(config["model"]), source=str(path / CONFIG), error=BundleError)
    preprocess = Preprocess.parse(_read(path, PREPROCESS), source=str(path / PREPROCESS), error=BundleError)
    return (Member(model=model, preprocess=preprocess),)


def _all_members(path: Path, config: Any) -> tuple[Member, ...]:
    """The members of formats 2 and later."""
    members = []
    for number, name in enumerate(weights_names(len(config["members"]), config["runtime"])):
        source = f"{path / CONFIG}: members.{number}"
        member = Member.parse(dict(config["members"][number]), source=source, error=BundleError)
        # Names are for reading; what is read is known beforehand.
        if member.weights != name:
            raise BundleError(f"{source}.weights: expected {name!r}, got {member.weights[:100]!r}")
        members.append(member)
    return tuple(members)
