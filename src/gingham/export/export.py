"""`gingham export` as a function: convert, check, write."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gingham.cores import default_threads
from gingham.data.table import LabelTable
from gingham.errors import BundleError, UserError
from gingham.evaluation.agreement import BOUNDS, Agreement, agreement
from gingham.export.members import MemberWriter
from gingham.export.packages import require
from gingham.export.photos import Photos, choose_photos, for_care
from gingham.inference.bundle import Bundle, describe
from gingham.inference.card import exported_card, read_card
from gingham.inference.member import Precision, RuntimeName, files_of, weights_names
from gingham.inference.save import write_exported
from gingham.inference.tagger import Tagger
from gingham.predictions import Predictions
from gingham.progress import Reporter
from gingham.schema import UNLABELLED
from gingham.storage import machine_errors

__all__ = ["Exported", "export_bundle"]


@dataclass(frozen=True)
class Exported:
    """What came of an export.

    Attributes:
        bundle: the new one.
        agreement: with the model that it comes from; None if it was not checked.
        care: of each network that was quantised, or is in bfloat16 for PyTorch, how.
    """

    bundle: Bundle
    agreement: Agreement | None
    care: tuple[str, ...]


def export_bundle(
    bundle: Bundle,
    out: Path,
    *,
    runtime: RuntimeName,
    precision: Precision,
    table: LabelTable | None = None,
    split: str = "val",
    unchecked: bool = False,
    attention: bool = False,
    max_pixels: int | None = None,
    batch_size: int | None = None,
    workers: int = 2,
    reporter: Reporter | None = None,
) -> Exported:
    """Write a bundle for another runtime or precision, if its answers are the model's.

    Args:
        bundle: the model as it was trained, and maybe calibrated.
        out: the folder to make; it must not exist.
        runtime: the library that is to run it.
        precision: of its weights.
        table: photos, with labels or without; None = it is not checked, which `unchecked` must say.
        split: which of them it is checked on, up to 1,000.
        unchecked: do not check.
        attention: the graph also gives the attention maps.
        max_pixels: larger photos are refused; None = the limit of the model's training.
        batch_size: photos in one pass of the check.
        workers: threads that decode photos for the check.
        reporter: hears of progress.

    Raises:
        UserError: there is no such pair, a package is missing, `out` exists, or options do not go together.
        BundleError: the model is damaged or an exported one; or a bound is not kept, and then nothing is written.
        SchemaError: the photos' labels are of other attributes.
        DataError: a photo cannot be read.
        MachineError: the disk is full or refuses.
    """
    _check(bundle, out, runtime, precision, table, unchecked=unchecked, attention=attention)
    reporter = reporter or Reporter()
    limit = bundle.data.max_pixels if max_pixels is None else max_pixels
    photos = None if table is None else choose_photos(table, split, for_care(runtime, precision))
    bundle.check_weights()

    def predicted(model: Bundle, photos: Photos) -> Predictions:
        tagger = Tagger.from_bundle(model, device="cpu", max_pixels=limit)
        return tagger.predict(photos.checked, batch_size=batch_size, workers=workers, reporter=reporter)

    checked = photos is not None and not unchecked
    before = predicted(bundle, photos) if photos is not None and checked else None
    by_tags = photos is not None and _is_trained(bundle) and bool((photos.checked.targets != UNLABELLED).any())
    writer = MemberWriter(
        bundle, runtime, precision, attention, photos, limit, default_threads(), reporter, by_tags, []
    )
    with machine_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name[:40]}.", dir=out.parent))
    try:
        # First as a bundle of its own: what is checked is what a user will load, by the way a user will load it.
        facts = {"from": bundle.hash}
        trial = write_exported(
            work / "trial",
            bundle,
            runtime=runtime,
            precision=precision,
            exported=facts,
            card="",
            write_network=writer,
        )
        found = None
        if before is not None and photos is not None:
            found = agreement(before, predicted(describe(trial.path), photos))
            broken = found.broken(BOUNDS[precision], trained=_is_trained(bundle))
            if broken is not None:
                raise BundleError(
                    f"{runtime} {precision}: {broken}, on {found.n} photos; nothing was written. {_way_out(precision)}"
                )
        facts |= _facts(bundle, found, photos, tuple(writer.care), split, attention=attention)
        names = weights_names(len(bundle.members), runtime)

        def move(number: int, file: Path) -> int:
            for name in files_of(names[number], runtime):
                shutil.move(trial.path / name, file.with_name(name))
            return trial.members[number].float_stages

        written = write_exported(
            out,
            bundle,
            runtime=runtime,
            precision=precision,
            exported=facts,
            card=exported_card(read_card(bundle), runtime, precision, facts),
            write_network=move,
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Exported(written, found, tuple(writer.care))


def _check(
    bundle: Bundle,
    out: Path,
    runtime: str,
    precision: str,
    table: LabelTable | None,
    *,
    unchecked: bool,
    attention: bool,
) -> None:
    require(runtime, precision)
    bundle.require_weights()
    if out.exists():
        raise UserError(f"--out {out}: exists; choose another folder")
    if attention and runtime == "torch":
        raise UserError("--attention: a PyTorch model has no outputs to add to; export to onnx or openvino")
    if precision == "int8" and table is None:
        raise UserError("--precision int8: the ranges of its numbers come from photos; give --data")
    if table is None and not unchecked:
        raise UserError("without --data nothing shows that the answers stay; give photos, or say --unchecked")
    if table is not None and unchecked and precision != "int8":
        raise UserError("--unchecked: with --data the model is checked; leave one of the two out")


def _is_trained(bundle: Bundle) -> bool:
    """Whether somebody trained the model: then its bundle says on how many images, or how good it is."""
    return bool(bundle.trained.get("training_images") or bundle.trained.get("metrics"))


def _way_out(precision: str) -> str:
    if precision == "int8":
        return "Give more training photos, or use bf16"
    return "Use fp32" if precision == "bf16" else "Give more photos if these are few, and please report it"


def _facts(
    bundle: Bundle,
    found: Agreement | None,
    photos: Photos | None,
    care: tuple[str, ...],
    split: str,
    *,
    attention: bool,
) -> dict[str, str]:
    """What config and card say of the export, in words."""
    facts: dict[str, str] = {}
    if attention:
        facts["attention"] = "the graph gives the attention maps"
    what = "quantised" if photos is not None and photos.calibrating is not None else "care"
    for number, words in enumerate(care, start=1):
        facts[what if len(care) == 1 else f"{what} {number}"] = words
    if photos is not None and photos.calibrating is not None:
        facts["calibrated on"] = f"{len(photos.calibrating)} photos, none of those that it was checked on"
    if found is None or photos is None:
        return facts | {"checked": "no: nothing shows that its answers are those of the model that it comes from"}
    facts["checked"] = f"on {found.n} photos of {photos.checked.source}, split {split}, against PyTorch fp32"
    if not _is_trained(bundle):
        facts["judged by"] = "the difference of logits, as nobody trained the model"
    elif found.accuracy_before is None:
        facts["judged by"] = "the difference of logits, as no photo has a label"
    facts |= {
        "largest difference of a logit": f"{found.logit_difference:.3g} (their standard deviation is "
        f"{found.logit_deviation:.3g})",
        "largest difference of a probability": f"{found.probability_difference:.3g}",
        "tags that stay": f"{found.tags:.2%}",
    }
    facts |= {f"tags that stay, {name}": f"{share:.2%}" for name, share in found.per_attribute.items()}
    if found.accuracy_before is not None and found.accuracy_after is not None:
        facts["mean class accuracy"] = f"{found.accuracy_before:.4f} before, {found.accuracy_after:.4f} after"
    return facts
