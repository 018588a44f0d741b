import pytest

from gingham.errors import RecipeError
from gingham.models.options import ModelOptions, Query2LabelOptions


def test_defaults_are_the_reference_model() -> None:
    options = ModelOptions()
    assert options.backbone == "swin_large_patch4_window7_224"
    assert options.weights == "hub"
    assert options.query2label == Query2LabelOptions(
        width=768, ffn=3072, heads=4, encoder_layers=1, decoder_layers=2, dropout=0.3
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"query2label": {"width": 30}}, "r.yaml: query2label.width: must be a multiple of 4"),
        ({"query2label": {"width": 32, "heads": 5}}, "r.yaml: query2label.heads: must divide width, which is 32"),
        ({"query2label": {"dropout": 1.0}}, "r.yaml: query2label.dropout: "),
        ({"query2label": {"decoder_layers": 0}}, "r.yaml: query2label.decoder_layers: "),
        ({"linear": {"dropout": -0.1}}, "r.yaml: linear.dropout: "),
        ({"attention_pool": {"width": 32, "heads": 5}}, "r.yaml: attention_pool.heads: must divide width, which is 32"),
        ({"attention_pool": {"queries": 0}}, "r.yaml: attention_pool.queries: "),
        ({"maps": 0}, "r.yaml: maps: "),
        ({"unfrozen_stages": -1}, "r.yaml: unfrozen_stages: "),
        ({"head": "mlp"}, "r.yaml: head: "),
        ({"batchnorm": "frozen"}, "r.yaml: batchnorm: "),
        ({"backbone": ""}, "r.yaml: backbone: "),
        ({"bakcbone": "x"}, "unknown field 'bakcbone'; did you mean 'backbone'?"),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, object], expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        ModelOptions.parse(values, source="r.yaml")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_encoder_may_be_left_out() -> None:
    assert Query2LabelOptions(encoder_layers=0).encoder_layers == 0
