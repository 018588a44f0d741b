"""What the terminal shows: complete, at 80 columns, and when piped."""

import io
from dataclasses import replace

import numpy as np
from rich.console import Console, RenderableType

from gingham.evaluation.bootstrap import paired_bootstrap
from gingham.evaluation.metrics import evaluate
from gingham.evaluation.tables import comparison_table, headline, metrics_table
from gingham.schema import AttributeSchema
from tests.evaluation.samples import DEEPFASHION, drawn_predictions, predictions_of


def _render(renderable: RenderableType, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(renderable)
    return stream.getvalue()


def test_headline():
    predictions = predictions_of([[0, 0], [1, 1], [2, 1]], [[0, 0], [1, 1], [0, 1]])
    assert headline(evaluate(predictions, bootstrap=0)) == "mean class accuracy 80.0% on 3 images"
    metrics = replace(evaluate(predictions, bootstrap=0), mean_class_accuracy_ci95=(0.632, 0.69))
    assert headline(metrics) == "mean class accuracy 80.0% [63.2, 69.0] on 3 images"
    one = predictions_of([[0, 0]], [[0, 0]])
    assert headline(evaluate(one, bootstrap=0)) == "mean class accuracy 100.0% on 1 image"


def test_metrics_at_80_columns_names_everything():
    text = _render(metrics_table(evaluate(drawn_predictions(0, 300), bootstrap=50)))
    lines = text.splitlines()
    assert lines[0].startswith("mean class accuracy ")
    assert max(map(len, lines)) <= 80
    assert "…" not in text
    for attribute in DEEPFASHION.attributes:
        assert attribute.name in text
        assert all(f" {label} " in text for label in attribute.classes)


def test_challenge_formula_and_absent_classes_show_when_a_class_is_absent():
    full = _render(metrics_table(evaluate(predictions_of([[0, 0], [1, 1], [2, 1]], [[0, 0]] * 3), bootstrap=0)))
    assert "challenge" not in full
    assert "no examples" not in full
    lacking = _render(metrics_table(evaluate(predictions_of([[0, 0], [1, 1]], [[0, 0], [1, 1]]), bootstrap=0)))
    assert "mean class accuracy 100.0%" in lacking
    assert "challenge formula 80.0% (classes without examples count as 0)" in lacking
    assert "no examples, left out of the mean: colour/blue" in lacking
    assert "fewer than 5 examples: colour/red, colour/green, fit/tight, fit/loose" in lacking


def test_long_and_odd_names_are_folded_and_not_cut_off_or_read_as_markup():
    names = ["x" * 70 + "END", "[bold]brackets[/bold]", "刺繍"]
    schema = AttributeSchema.of({"[red]a very long attribute name" * 2: names, "fit": ["tight", "loose"]})
    targets = np.array([[0, 0], [1, 1], [2, 0]])
    text = _render(metrics_table(evaluate(predictions_of(targets, targets, schema), bootstrap=20)))
    table = text[text.index(" class ") :]
    assert "…" not in text
    assert table.count("x") >= 70
    assert "刺繍" in table
    assert "100.0%" in table
    squeezed = "".join(character for character in text if not character.isspace())
    assert "[bold]brackets[/bold]" in squeezed


def test_comparison_at_80_columns():
    a = drawn_predictions(0, 300)
    b = replace(drawn_predictions(0, 300, right=0.7), targets=a.targets)
    text = _render(comparison_table(paired_bootstrap(a, b, bootstrap=200)))
    assert "mean class accuracy +" in text.splitlines()[0]
    assert "resamples" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert all(name in text for name in DEEPFASHION.names)
    assert "<0.001" in text or "0.0" in text


def test_comparison_without_resamples_or_labels_of_an_attribute():
    a = predictions_of([[0, -1], [1, -1]], [[0, 0], [0, 0]])
    b = predictions_of([[0, -1], [1, -1]], [[0, 0], [1, 0]])
    text = _render(comparison_table(paired_bootstrap(a, b, bootstrap=0)))
    assert text.startswith("mean class accuracy +50.0 points on 2 images, predicted differently on 1")
    assert "nan" not in text.lower()
