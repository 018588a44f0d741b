import numpy as np
import pytest
import torch

from gingham.models.cost import forward_flops
from gingham.models.heads import HEADS, LinearHead, build_head
from gingham.models.network import Network, build_network, parameter_table
from gingham.models.options import LinearOptions, ModelOptions, Query2LabelOptions
from gingham.schema import AttributeSchema

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SMALL = Query2LabelOptions(width=16, ffn=32, heads=2)


def small_network(schema: AttributeSchema, **options: object) -> Network:
    values = {"backbone": "test_resnet", "weights": "none", "query2label": SMALL, **options}
    return build_network(ModelOptions(**values), schema, image_size=64, mean=MEAN, std=STD)


def pixels(count: int = 2, size: tuple[int, int] = (64, 64)) -> torch.Tensor:
    return torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8)


@pytest.fixture(scope="module")
def report_model() -> Network:
    """The reference model, without numbers."""
    with torch.device("meta"):
        return build_network(
            ModelOptions(),
            AttributeSchema.builtin("deepfashion"),
            image_size=224,
            mean=MEAN,
            std=STD,
            load_weights=False,
        )


def test_the_reference_model_has_the_reported_parameters(report_model: Network) -> None:
    table = parameter_table(report_model)
    assert dict(table)["backbone"] == 194_995_476
    assert sum(count for _, count in table) == 217_465_646
    assert sum(parameter.numel() for parameter in report_model.parameters()) == 217_465_646
    assert (report_model.backbone.width, report_model.backbone.grid) == (1536, (7, 7))
    assert [name for name, _ in table] == [
        "backbone",
        "head.queries",
        "head.projection",
        "head.encoder",
        "head.decoder",
        "head.norm",
        "head.classifiers",
    ]


def test_the_reference_model_costs_70_gflop(report_model: Network) -> None:
    assert forward_flops(report_model) == pytest.approx(70.1e9, rel=0.01)


def test_flops_of_a_linear_head_by_hand(schema: AttributeSchema) -> None:
    whole = forward_flops(small_network(schema, head="linear"))
    more = AttributeSchema.of({"pattern": [str(i) for i in range(schema.total + 10)]})
    assert forward_flops(small_network(more, head="linear")) - whole == 2 * 10 * 96


def test_counting_costs_leaves_the_network_as_it_was(schema: AttributeSchema) -> None:
    network = small_network(schema)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    forward_flops(network)
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("head", sorted(HEADS))
@torch.no_grad()
def test_pixels_to_logits(schema: AttributeSchema, head: str) -> None:
    network = small_network(schema, head=head).eval()
    images = pixels(3)
    logits = network(images)
    assert logits.shape == (3, schema.total)
    tokens = network.features(images)
    assert tokens.shape == (3, 4, network.backbone.width)
    assert torch.equal(network.from_features(tokens), logits)
    normalised = (images.numpy().astype(np.float64) / 255 - np.array(MEAN)) / np.array(STD)
    expected = network.backbone(torch.from_numpy(normalised).permute(0, 3, 1, 2).float())
    assert torch.allclose(tokens, expected, atol=1e-4)


@torch.no_grad()
def test_normalisation_is_exact_where_it_can_be(schema: AttributeSchema) -> None:
    network = build_network(
        ModelOptions(backbone="test_resnet", weights="none", query2label=SMALL),
        schema,
        image_size=64,
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
    )
    seen: list[torch.Tensor] = []
    network.backbone.model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = pixels()
    network.eval()(images)
    assert torch.equal(seen[0], (images.permute(0, 3, 1, 2).float() - 127) / 128)


@torch.no_grad()
def test_statistics_are_no_state_and_are_never_rounded(schema: AttributeSchema) -> None:
    network = small_network(schema)
    assert not [name for name in network.state_dict() if name.endswith(("mean", "std")) and "." not in name]
    assert [name for name, _ in network.named_parameters() if not name.startswith(("backbone.", "head."))] == []
    mean = network.mean.clone()
    half = network.to(torch.bfloat16).eval()
    assert half.mean.dtype == torch.float32
    assert torch.equal(half.mean, mean)
    assert half(pixels()).dtype == torch.bfloat16
    assert torch.equal(half.float().mean, mean)


@torch.no_grad()
def test_a_structure_on_the_meta_device_can_be_filled(schema: AttributeSchema) -> None:
    network = small_network(schema).eval()
    with torch.device("meta"):
        empty = build_network(
            ModelOptions(backbone="test_resnet", query2label=SMALL),
            schema,
            image_size=64,
            mean=MEAN,
            std=STD,
            load_weights=False,
        )
    filled = empty.to_empty(device="cpu").eval()
    filled.load_state_dict(network.state_dict())
    images = pixels()
    assert torch.equal(filled(images), network(images))


def test_train_keeps_what_is_frozen_in_eval_mode(schema: AttributeSchema) -> None:
    frozen = small_network(schema, frozen=True).train()
    assert frozen.training
    assert frozen.head.training
    assert not any(module.training for module in frozen.backbone.modules())
    frozen(pixels()).sum().backward()
    assert all(parameter.grad is None for parameter in frozen.backbone.parameters())
    assert all(parameter.grad is not None for parameter in frozen.head.parameters())
    norms = small_network(schema, batchnorm="eval").train()
    kept = {name: tensor.clone() for name, tensor in norms.backbone.named_buffers()}
    norms(pixels())
    assert all(torch.equal(tensor, kept[name]) for name, tensor in norms.backbone.named_buffers())
    free = small_network(schema).train()
    kept = {name: tensor.clone() for name, tensor in free.backbone.named_buffers()}
    free(pixels())
    assert not all(torch.equal(tensor, kept[name]) for name, tensor in free.backbone.named_buffers())


@torch.no_grad()
def test_images_that_are_not_square(schema: AttributeSchema) -> None:
    options = ModelOptions(backbone="test_vit", weights="none", query2label=SMALL)
    network = build_network(options, schema, image_size=(64, 96), mean=MEAN, std=STD).eval()
    assert network.backbone.grid == (4, 6)
    assert network(pixels(2, (64, 96))).shape == (2, schema.total)


@torch.no_grad()
def test_an_exported_graph_says_the_same(schema: AttributeSchema) -> None:
    network = small_network(schema).eval()
    images = pixels(2)
    exported = torch.export.export(
        network, (images,), dynamic_shapes={"pixels": {0: torch.export.Dim("batch", min=1, max=64)}}
    ).module()
    for count in (1, 3):
        more = pixels(count)
        assert torch.allclose(exported(more), network(more), rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_linear_head_by_hand(schema: AttributeSchema) -> None:
    head = LinearHead(schema, 5, LinearOptions()).double()
    tokens = torch.randn(2, 6, 5, dtype=torch.float64)
    expected = tokens.numpy().mean(axis=1) @ head.classifier.weight.numpy().T + head.classifier.bias.numpy()
    np.testing.assert_allclose(head(tokens, (2, 3)).numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", sorted(HEADS))
def test_every_head_is_built_by_name(schema: AttributeSchema, name: str) -> None:
    head = build_head(ModelOptions(head=name, query2label=SMALL), 7, schema)
    assert head(torch.zeros(2, 6, 7), (2, 3)).shape == (2, schema.total)
    state = head.state_dict()
    for what, (tensor, row) in head.schema_rows(schema).items():
        assert 0 <= row < state[tensor].shape[0], what
