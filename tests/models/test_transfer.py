import pytest
import torch

from gingham.errors import BundleError
from gingham.models.heads import HEADS
from gingham.models.network import Network, build_network
from gingham.models.options import ModelOptions, Query2LabelOptions
from gingham.models.transfer import transfer
from gingham.schema import AttributeSchema

OTHER = AttributeSchema.of({"fit": ["d", "a", "x"], "colour": ["red", "blue"], "pattern": ["solid", "floral"]})


def make(schema: AttributeSchema, head: str, width: int = 16, size: int = 64, backbone: str = "test_resnet") -> Network:
    options = ModelOptions(
        backbone=backbone, weights="none", head=head, query2label=Query2LabelOptions(width=width, ffn=32, heads=2)
    )
    return build_network(options, schema, image_size=size, mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.mark.parametrize("head", sorted(HEADS))
@torch.no_grad()
def test_shared_classes_are_carried_over_by_name(schema: AttributeSchema, head: str) -> None:
    source, target = make(schema, head).eval(), make(OTHER, head).eval()
    fresh = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    report = transfer(target, source.state_dict(), source_schema=schema, target_schema=OTHER)
    assert report.kept == ("fit/d", "fit/a", "pattern/solid", "pattern/floral")
    assert report.fresh == ("fit/x", "colour/red", "colour/blue")
    assert report.dropped == ("pattern/striped", "sleeve/long", "sleeve/short", "fit/b", "fit/c")

    # What counts: the logit of a shared class is the same function of the image as before.
    images = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    before, after = source(images), target(images)
    for column in report.kept:
        mine, theirs = after[:, OTHER.columns.index(column)], before[:, schema.columns.index(column)]
        assert torch.allclose(mine, theirs, rtol=0, atol=1e-6), column

    state = target.state_dict()
    for column in report.fresh:
        for kind in ("weight", "bias"):
            name, row = target.schema_rows(OTHER)[f"{kind} of {column}"]
            assert torch.equal(state[name][row], fresh[name][row])
    if head != "linear":
        assert torch.equal(state["head.queries"][1], fresh["head.queries"][1])


@pytest.mark.parametrize("head", sorted(HEADS))
def test_the_same_schema_is_a_plain_copy(schema: AttributeSchema, head: str) -> None:
    source, target = make(schema, head), make(schema, head)
    report = transfer(target, source.state_dict(), source_schema=schema, target_schema=schema)
    assert report.kept == schema.columns
    assert not report.fresh + report.dropped
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in target.state_dict().items())


def test_a_head_alone_can_be_carried_over(schema: AttributeSchema) -> None:
    source, target = make(schema, "linear").head, make(OTHER, "linear").head
    transfer(target, source.state_dict(), source_schema=schema, target_schema=OTHER)
    assert torch.equal(target.classifier.weight[0], source.classifier.weight[8])


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"head": "linear"}, "has 'head.classifier"),
        ({"width": 32}, "'head.projection.weight' has shape"),
        ({"backbone": "test_convnext"}, "has 'backbone.model."),
    ],
)
def test_another_network_is_refused_and_nothing_changed(
    schema: AttributeSchema, other: dict[str, object], expected: str
) -> None:
    source = make(schema, **{"head": "query2label", **other})  # type: ignore[arg-type]
    target = make(OTHER, "query2label")
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(BundleError, match=expected):
        transfer(target, source.state_dict(), source_schema=schema, target_schema=OTHER)
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())


def test_a_missing_tensor_is_named(schema: AttributeSchema) -> None:
    source = {
        name: tensor for name, tensor in make(schema, "query2label").state_dict().items() if ".queries" not in name
    }
    with pytest.raises(BundleError, match=r"only this one has 'head.queries'"):
        transfer(make(OTHER, "query2label"), source, source_schema=schema, target_schema=OTHER)
