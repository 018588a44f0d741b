"""Writing bundles: of a network that was trained, and of what was exported."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import gingham
from gingham.data.options import DataOptions
from gingham.data.test_time import TestTime
from gingham.errors import UserError
from gingham.inference.bundle import CARD, PREPROCESS, SCHEMA, Bundle, describe
from gingham.inference.calibration import CALIBRATION
from gingham.inference.member import CONFIG, WEIGHTS, Member, Precision, RuntimeName, weights_names
from gingham.schema import AttributeSchema
from gingham.storage import atomic_directory, write_json, write_manifest, write_text
from gingham.tensors import save_tensors

if TYPE_CHECKING:
    from gingham.models.network import Network

__all__ = ["Export", "write_bundle", "write_descriptions", "write_exported"]


class Export(NamedTuple):
    """What the configuration of an exported model says besides; see `Bundle`."""

    runtime: RuntimeName
    precision: Precision
    exported: Mapping[str, str]
    calibrated: bool


def write_bundle(
    path: Path,
    *,
    network: "Network",
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


def write_exported(
    out: Path,
    source: Bundle,
    *,
    runtime: RuntimeName,
    precision: Precision,
    exported: Mapping[str, str],
    card: str,
    write_network: Callable[[int, Path], int],
) -> Bundle:
    """Write a bundle of the same networks for another library or precision, whole or not at all.

    Args:
        out: the folder to make; it must not exist.
        source: the model as it was trained, and maybe calibrated: the calibration is taken over.
        runtime: the library.
        precision: of the weights.
        exported: in words, for the user to read: what it comes from, how it was checked. Not empty.
        card: the model card, Markdown.
        write_network: number of a member -> writes its file, and those beside it (`files_of`), and says how many stages
            stay in float32; see `Member`.

    Returns:
        The new bundle.

    Raises:
        UserError: `out` exists.
        MachineError: the disk is full or refuses.
    """
    if out.exists():
        raise UserError(f"--out {out}: exists; choose another folder")
    names = weights_names(len(source.members), runtime)
    with atomic_directory(out) as folder:
        members = [
            member.model_copy(update={"weights": name, "float_stages": write_network(number, folder / name)})
            for number, (member, name) in enumerate(zip(source.members, names, strict=True))
        ]
        write_descriptions(
            folder,
            members,
            schema=source.schema,
            data=source.data,
            trained=source.trained,
            card=card,
            export=Export(runtime, precision, exported, source.calibrated),
        )
        if source.calibrated:
            shutil.copyfile(source.path / CALIBRATION, folder / CALIBRATION)
        write_manifest(folder)
    return describe(out)


def write_descriptions(
    folder: Path,
    members: Sequence[Member],
    *,
    schema: AttributeSchema,
    data: DataOptions,
    trained: Mapping[str, Any],
    card: str,
    calibration: Mapping[str, Any] | None = None,
    export: Export | None = None,
) -> None:
    """Write all files of a bundle but the weights and the manifest. See `write_bundle` and `write_exported`.

    What an older Gingham can use has the format that it reads. With a calibration (`to_plain`) it must not: its
    confidences would be others.
    """
    config: dict[str, Any] = {"format": 2 if calibration is None else 3, "gingham": gingham.__version__}
    config |= {"runtime": "torch", "data": data.model_dump(mode="json"), "trained": dict(trained)}
    if export is not None:
        calibrated = export.calibrated or calibration is not None
        config |= {"format": 4, **export._asdict(), "calibrated": calibrated, "exported": dict(export.exported)}
    if export is None and calibration is None and len(members) == 1 and members[0].test_time == TestTime():
        config |= {"format": 1, "members": [WEIGHTS], "model": members[0].model.model_dump(mode="json")}
        write_json(folder / PREPROCESS, members[0].preprocess.model_dump(mode="json"))
    else:
        # What an older Gingham does not know is left out where it says nothing.
        config["members"] = [
            member.model_dump(mode="json", exclude=None if member.float_stages else {"float_stages"})
            for member in members
        ]
    if calibration is not None:
        write_json(folder / CALIBRATION, calibration)
    write_json(folder / CONFIG, config)
    write_json(folder / SCHEMA, schema.to_plain())
    write_text(folder / CARD, card)
