"""The model card that travels in a bundle as `README.md`."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from gingham.documents import DOCUMENT_LIMIT, read_limited
from gingham.errors import BundleError
from gingham.evaluation.calibrated import Calibrated
from gingham.evaluation.metrics import Metrics
from gingham.inference.bundle import CARD, Bundle
from gingham.inference.member import Member
from gingham.schema import AttributeSchema

__all__ = ["calibrated_card", "exported_card", "model_card", "read_card"]

_UNCALIBRATED = "Confidences are raw softmax values: they are not calibrated."
_CALIBRATED = "Confidences are calibrated, and promises kept, for photos like those of the section above."
_LIMITS = "\n## Limits\n"
_CALIBRATION = "\n## Calibration\n"


def model_card(
    *,
    name: str,
    schema: AttributeSchema,
    members: Sequence[Member],
    trained: Mapping[str, Any],
    metrics: Metrics | None,
) -> str:
    """Markdown with the front matter that the Hugging Face Hub reads.

    Args:
        name: title.
        schema: what the model tags.
        members: its networks.
        trained: facts about the training, one line each.
        metrics: on the validation split; None while training is going on.
    """
    front = {
        "library_name": "gingham",
        "pipeline_tag": "image-classification",
        "tags": ["gingham", "garment-attributes", "multi-label-multi-class"],
    }
    lines = ["---", yaml.safe_dump(front, sort_keys=False).strip(), "---", "", f"# {name}", ""]
    lines += [
        *_opening(schema, members),
        "",
        "```python",
        "from gingham import Tagger",
        "",
        'tagger = Tagger.load("FOLDER")  # of the Hugging Face Hub: Tagger.from_pretrained("OWNER/NAME")',
        'tags = tagger("photo.jpg")',
        "```",
        "",
        "## Attributes",
        "",
        *(f"- **{attribute.name}**: {', '.join(attribute.classes)}" for attribute in schema.attributes),
        "",
        "## Training",
        "",
        *(f"- {key.replace('_', ' ')}: {value}" for key, value in trained.items()),
        "",
        "## Validation",
        "",
    ]
    if metrics is None or metrics.mean_class_accuracy is None:
        lines.append("Not measured.")
    else:
        interval = metrics.mean_class_accuracy_ci95
        ends = f" (95% bootstrap interval {interval[0]:.4f} to {interval[1]:.4f})" if interval else ""
        lines += [
            f"Mean class accuracy {metrics.mean_class_accuracy:.4f}{ends}, overall accuracy "
            f"{metrics.overall_accuracy:.4f}, on {metrics.n} images.",
            "",
            "| attribute | mean class accuracy | accuracy | macro F1 | n |",
            "| --- | --- | --- | --- | --- |",
            *(
                " | ".join(
                    [
                        f"| {name}",
                        _cell(row.mean_class_accuracy),
                        _cell(row.accuracy),
                        _cell(row.macro_f1),
                        f"{row.n} |",
                    ]
                )
                for name, row in metrics.per_attribute.items()
            ),
        ]
        if metrics.absent:
            lines += ["", f"Classes without a validation example, hence unmeasured: {', '.join(metrics.absent)}."]
    lines += [
        "",
        "## Limits",
        "",
        f"The model knows photos like those that it was trained on. {_UNCALIBRATED} The licence of the training data "
        "may limit what the model may be used for.",
        "",
    ]
    return "\n".join(lines)


def calibrated_card(card: str, found: Calibrated, facts: Mapping[str, str]) -> str:
    """A model card with a section on the calibration before its limits; one that is there already goes.

    Args:
        card: the card so far, Markdown.
        found: the calibration.
        facts: in words: the data, the split, what is assumed.
    """
    before, limits, after = card.partition(_LIMITS)
    before = before.partition(_CALIBRATION)[0].rstrip("\n")
    lines = [
        *("", "", "## Calibration", ""),
        *(f"- {key}: {value}" for key, value in facts.items()),
        *(
            "",
            "| attribute | ECE before | ECE after | NLL before | NLL after | n |",
            "| --- | --- | --- | --- | --- | --- |",
        ),
        *(
            f"| {name} | {one.before.ece.value:.4f} | {one.after.ece.value:.4f} | {one.before.nll.value:.4f} | "
            f"{one.after.nll.value:.4f} | {one.after.n} |"
            for name, one in found.measured.items()
        ),
    ]
    for decisions in found.decisions:
        together = ", by all attributes at once" if decisions.joint else ", by each attribute"
        lines += [
            *(
                "",
                f"Accepted tags are right in at least {decisions.precision:.1%} of cases{together}, with a confidence ",
            ),
        ]
        lines[-1] += f"of {decisions.level:.0%} over the draw of the calibration photos:"
        lines += ["", "| attribute | classes | accepted from | share accepted |", "| --- | --- | --- | --- |"]
        for name, groups in decisions.groups.items():
            for group in groups:
                classes = "all" if len(groups) == 1 else ", ".join(group.classes)
                least = "nothing is accepted" if group.threshold is None else f"{group.threshold:.4f}"
                lines.append(f"| {name} | {classes} | {least} | {group.accepted / max(1, group.photos):.1%} |")
    return before + "\n".join(lines) + "\n" + limits + after.replace(_UNCALIBRATED, _CALIBRATED)


def exported_card(card: str, runtime: str, precision: str, facts: Mapping[str, str]) -> str:
    """A model card with a section on the export before its limits.

    Args:
        card: of the model that was exported, Markdown.
        runtime: what it was exported for.
        precision: of its weights.
        facts: in words: what it comes from, how it was checked.
    """
    before, limits, after = card.partition(_LIMITS)
    lines = ["", "", "## Export", "", f"For {runtime}, {precision}.", ""]
    lines += [f"- {key}: {value}" for key, value in facts.items()]
    return before.rstrip("\n") + "\n".join(lines) + "\n" + limits + after


def read_card(bundle: Bundle) -> str:
    """The model card of a bundle; empty if it has none.

    Raises:
        BundleError: it cannot be read.
    """
    try:
        return read_limited(bundle.path / CARD, DOCUMENT_LIMIT).decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as failure:
        raise BundleError(f"{bundle.path / CARD}: cannot be read ({failure})") from None


def _opening(schema: AttributeSchema, members: Sequence[Member]) -> list[str]:
    networks = [
        f"backbone `{member.model.backbone}`, head `{member.model.head}`; {member.test_time.summary(member.preprocess)}"
        for member in members
    ]
    tags = f"Tags a garment photo with {len(schema)} attributes"
    if len(members) == 1:
        return [f"{tags}: {networks[0]}."]
    return [
        f"{tags}. The probabilities of {len(members)} networks are averaged:",
        "",
        *(f"- {one}" for one in networks),
    ]


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
