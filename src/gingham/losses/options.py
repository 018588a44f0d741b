"""The recipe block `loss:`."""

import difflib
from typing import Any

from pydantic import Field, field_serializer, field_validator

from gingham.losses.functions import LOSSES
from gingham.losses.weights import (
    AttributeWeights,
    ClassWeights,
    parse_attribute_weights,
    parse_class_weights,
    plain_weights,
)
from gingham.options import Options

__all__ = ["LossOptions"]


class LossOptions(Options):
    """The recipe block `loss:`.

    Attributes:
        name: one of `LOSSES`.
        gamma: of `focal`, its focusing parameter; 0 makes it cross-entropy.
        alpha: of `focal`, a factor of the whole loss; for an alpha of each class name `class_weights`.
        tau: of `balanced_softmax`, how much of the classes' log-frequency is added to the logits; 0 makes it
            cross-entropy.
        margin: of `ldam`, by how much the logit of an attribute's rarest class is lowered where it is the target; 0
            makes it cross-entropy.
        q: of `generalised_cross_entropy`, from nearly 0 (cross-entropy) to 1 (mean absolute error).
        class_weights: `none`; `inverse` to the number of training images, so that each class counts alike; between
            these two `sqrt_inverse` and `effective_number`; or a mapping attribute -> class -> weight, with 1 for what
            is not named.
        beta: of `class_weights: effective_number`; 0 makes it `none`.
        deferred_from: the epoch (the first is 1) from which class weights hold, which are 1 before; null: from the
            first. Deferred re-weighting (Cao et al. 2019, section 3.3).
        attribute_weights: `none`; `learned` by uncertainty (Kendall et al. 2018); or a mapping attribute -> weight,
            with 1 for what is not named.
        label_smoothing: share of each target that is spread evenly over the attribute's classes.
    """

    name: str = "cross_entropy"
    gamma: float = Field(default=2.0, ge=0.0, allow_inf_nan=False)
    alpha: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    tau: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)
    margin: float = Field(default=0.5, ge=0.0, allow_inf_nan=False)
    q: float = Field(default=0.7, gt=0.0, le=1.0)
    class_weights: ClassWeights = "inverse"
    beta: float = Field(default=0.999, ge=0.0, lt=1.0)
    deferred_from: int | None = Field(default=None, ge=2)
    attribute_weights: AttributeWeights = "none"
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)

    @field_validator("name")
    @classmethod
    def _name_is_known(cls, name: str) -> str:
        if name not in LOSSES:
            near = difflib.get_close_matches(name, LOSSES, n=1, cutoff=0.4)
            raise ValueError(f"no such loss; did you mean '{near[0]}'?" if near else f"there are {', '.join(LOSSES)}")
        return name

    @field_validator("class_weights", mode="plain")
    @classmethod
    def _class_weights_are_known(cls, value: Any) -> Any:
        return parse_class_weights(value)

    @field_validator("attribute_weights", mode="plain")
    @classmethod
    def _attribute_weights_are_known(cls, value: Any) -> Any:
        return parse_attribute_weights(value)

    @field_serializer("class_weights", "attribute_weights")
    def _as_in_a_recipe(self, value: ClassWeights | AttributeWeights) -> Any:
        return plain_weights(value)
