import pytest

from gingham.errors import RecipeError
from gingham.losses import LossOptions


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"name": "cros_entropy"}, "loss: name: no such loss; did you mean 'cross_entropy'?"),
        ({"name": "zzz"}, "loss: name: there are cross_entropy"),
        (
            {"class_weights": "sqrt"},
            "loss: class_weights: expected none, inverse, sqrt_inverse, effective_number, or weights",
        ),
        ({"class_weights": {}}, "loss: class_weights: expected none"),
        ({"class_weights": {"fit": 3}}, "loss: class_weights: 'fit': expected weights of its classes"),
        ({"class_weights": {"fit": {"q": -1}}}, "loss: class_weights: 'q': a weight is a finite number of at least 0"),
        ({"class_weights": {"fit": {"q": float("inf")}}}, "a weight is a finite number of at least 0, not inf"),
        ({"class_weights": {"fit": {"q": float("nan")}}}, "a weight is a finite number of at least 0, not nan"),
        ({"class_weights": {"fit": {"q": True}}}, "a weight is a finite number of at least 0, not True"),
        ({"attribute_weights": "learnt"}, "loss: attribute_weights: expected none, learned, or weights by name"),
        ({"attribute_weights": {"fit": 0}}, "'fit' would not be learnt at all; leave it out with data.attributes"),
        ({"attribute_weights": {"fit": "2"}}, "'fit': a weight is a finite number"),
        ({"gamma": float("inf")}, "loss: gamma: "),
        ({"alpha": 0}, "loss: alpha: "),
        ({"tau": -1}, "loss: tau: "),
        ({"margin": -1}, "loss: margin: "),
        ({"q": 0}, "loss: q: "),
        ({"q": 1.5}, "loss: q: "),
        ({"beta": 1}, "loss: beta: "),
        ({"deferred_from": 1}, "loss: deferred_from: "),
        ({"label_smoothing": 1.0}, "loss: label_smoothing: "),
        ({"smoothing": 0.1}, "unknown field 'smoothing'; did you mean 'label_smoothing'?"),
    ],
)
def test_a_wrong_option_is_named(values: dict[str, object], expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        LossOptions.parse(values, source="loss")
    assert expected in str(caught.value)


def test_weights_by_name_are_written_as_they_are_read_and_cannot_change() -> None:
    values = {"class_weights": {"fit": {"q": 3.0}}, "attribute_weights": {"fit": 2.0}}
    options = LossOptions.parse(values)
    dumped = options.model_dump(mode="json")
    assert {name: dumped[name] for name in values} == values
    assert LossOptions.parse(dumped) == options
    assert hash(options) == hash(LossOptions.parse(values))
