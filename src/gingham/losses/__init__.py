"""Losses over soft targets, linear in the target, with a denominator that the caller sums globally."""

from gingham.losses.attribute import AttributeLoss, LossValue
from gingham.losses.options import LossOptions
from gingham.losses.targets import smooth, soft_targets

__all__ = ["AttributeLoss", "LossOptions", "LossValue", "smooth", "soft_targets"]
