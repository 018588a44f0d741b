"""The model card that travels in a bundle as `README.md`."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from gingham.evaluation.metrics import Metrics
from gingham.inference.member import Member
from gingham.schema import AttributeSchema

__all__ = ["model_card"]


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
        "The model knows photos like those that it was trained on. Confidences are raw softmax values: they are not "
        "calibrated. The licence of the training data may limit what the model may be used for.",
        "",
    ]
    return "\n".join(lines)


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
