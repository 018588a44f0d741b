"""How much classes and attributes count: from the counts of the training images, or as somebody says."""

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gingham.errors import RecipeError, SchemaError
from gingham.schema import AttributeSchema

__all__ = [
    "AttributeWeights",
    "ClassWeights",
    "attribute_weights",
    "class_weights",
    "parse_attribute_weights",
    "parse_class_weights",
    "plain_weights",
    "rare_as_the_rarest",
]

_ByCount = Literal["none", "inverse", "sqrt_inverse", "effective_number"]
_Named = tuple[tuple[str, float], ...]

ClassWeights = _ByCount | tuple[tuple[str, _Named], ...]
"""A rule, or pairs (attribute, pairs (class, weight)): an immutable mapping."""

AttributeWeights = Literal["none", "learned"] | _Named
"""`none`, `learned`, or pairs (attribute, weight)."""


def parse_class_weights(value: Any) -> Any:
    """What a recipe says as `ClassWeights`; a mapping attribute -> class -> weight becomes pairs.

    Raises:
        ValueError: it is neither a rule nor such a mapping of finite numbers of at least 0.
    """
    rules = get_args(_ByCount)
    if isinstance(value, str) and value in rules:
        return value
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"expected {', '.join(rules)}, or weights by name as in {{fabric: {{leather: 3.0}}}}")
    pairs = []
    for attribute, weights in value.items():
        if not isinstance(weights, Mapping) or not weights:
            raise ValueError(f"'{attribute}': expected weights of its classes, as in {{leather: 3.0}}")
        pairs.append((str(attribute), _numbers(weights)))
    return tuple(pairs)


def parse_attribute_weights(value: Any) -> Any:
    """What a recipe says as `AttributeWeights`; a mapping attribute -> weight becomes pairs.

    Raises:
        ValueError: it is neither a word nor such a mapping of finite numbers above 0.
    """
    if isinstance(value, str) and value in ("none", "learned"):
        return value
    if not isinstance(value, Mapping) or not value:
        raise ValueError("expected none, learned, or weights by name as in {fabric: 2.0}")
    pairs = _numbers(value)
    for attribute, weight in pairs:
        if weight == 0:
            raise ValueError(f"'{attribute}' would not be learnt at all; leave it out with data.attributes instead")
    return pairs


def plain_weights(value: ClassWeights | AttributeWeights) -> Any:
    """As it stands in a recipe: what the `parse_` functions read back to an equal value."""
    if isinstance(value, str):
        return value
    return {name: plain_weights(inner) if isinstance(inner, tuple) else inner for name, inner in value}


def class_weights(
    counts: Tensor | npt.NDArray[np.int64],
    schema: AttributeSchema,
    rule: ClassWeights,
    *,
    beta: float = 0.999,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Weights of the classes, float `[ΣC]`, on the CPU.

    With n the number of training images, and for all but `none` and weights by name with mean 1 over an attribute's
    classes that have training images; a class without any gets the weight 0: nothing is known of how much it should
    count, so it is left out of the loss.

    - `none`: 1 throughout;
    - `inverse`: in proportion to 1 / n, so that each class counts alike;
    - `sqrt_inverse`: to 1 / √n, halfway between;
    - `effective_number`: to (1 - β) / (1 - βⁿ), where (1 - βⁿ) / (1 - β) is the effective number of images (Cui et al.
      2019, proposition 1, and section 4 for the weights): `none` for β = 0, and nearing `inverse` for β → 1;
    - by name: as said, and 1 for what is not named.

    Args:
        counts: int64 `[ΣC]`, training images of each class.
        schema: where the attributes are.
        rule: as in the recipe.
        beta: β of `effective_number`.
        dtype: of the result; computed in float64.

    Raises:
        SchemaError: wrong length, or a negative count.
        RecipeError: a weight is of no attribute or class of the schema, or all weights of an attribute are 0.
    """
    known = _checked(counts, schema)
    if rule == "none":
        return torch.ones(schema.total, dtype=dtype)
    if not isinstance(rule, str):
        return _by_name(rule, schema).to(dtype)
    value = {
        "inverse": 1 / known,
        "sqrt_inverse": known.rsqrt(),
        "effective_number": (1 - beta) / (1 - beta**known),
    }[rule]
    weights = torch.zeros_like(known)
    for part in schema.slices:
        present = known[part] > 0
        if bool(present.any()):
            weights[part][present] = value[part][present] / value[part][present].mean()
    return weights.to(dtype)


def attribute_weights(rule: AttributeWeights, schema: AttributeSchema, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Weights of the attributes, float `[K]`: as said by name, and 1 for what is not named, or learned.

    Raises:
        RecipeError: a weight is of no attribute of the schema.
    """
    weights = torch.ones(len(schema), dtype=torch.float64)
    for name, weight in () if isinstance(rule, str) else rule:
        try:
            schema[name]
        except SchemaError as failure:
            raise RecipeError(f"loss.attribute_weights: {failure}") from None
        weights[schema.names.index(name)] = weight
    return weights.to(dtype)


def rare_as_the_rarest(
    counts: Tensor | npt.NDArray[np.int64], schema: AttributeSchema, *, dtype: torch.dtype = torch.float32
) -> Tensor:
    """The counts as float `[ΣC]`, where a class without training images has as many as the attribute's rarest other.

    So a prior or a margin of it is finite: it may still occur in the validation split, or in a smoothed target.

    Raises:
        SchemaError: wrong length, or a negative count.
    """
    known = _checked(counts, schema).clone()
    for part in schema.slices:
        present = known[part] > 0
        known[part][~present] = known[part][present].min() if bool(present.any()) else 1.0
    return known.to(dtype)


def _numbers(values: Mapping[Any, Any]) -> _Named:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise ValueError(f"'{name}': a weight is a finite number of at least 0, not {value!r}")
    return tuple((str(name), float(value)) for name, value in values.items())


def _checked(counts: Tensor | npt.NDArray[np.int64], schema: AttributeSchema) -> Tensor:
    known = torch.as_tensor(counts).to("cpu", torch.float64)
    if known.shape != (schema.total,):
        raise SchemaError(f"class counts have shape {tuple(known.shape)}, expected ({schema.total},)")
    if bool((known < 0).any()):
        raise SchemaError(f"class counts: '{schema.columns[int(known.argmin())]}' has a negative count")
    return known


def _by_name(pairs: tuple[tuple[str, _Named], ...], schema: AttributeSchema) -> Tensor:
    weights = torch.ones(schema.total, dtype=torch.float64)
    starts = {name: part.start for name, part in zip(schema.names, schema.slices, strict=True)}
    for name, classes in pairs:
        try:
            for label, weight in classes:
                weights[starts[schema[name].name] + schema[name].encode(label)] = weight
        except SchemaError as failure:
            raise RecipeError(f"loss.class_weights: {failure}") from None
        start = starts[name]
        if not bool(weights[start : start + len(schema[name])].any()):
            raise RecipeError(
                f"loss.class_weights: '{name}' would not be learnt at all, as all its classes have the weight 0; "
                "leave it out with data.attributes instead"
            )
    return weights
