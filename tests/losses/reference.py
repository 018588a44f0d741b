"""The losses as their papers write them, in plain Python floats and loops."""

import math
from collections.abc import Sequence

from gingham.losses import LossOptions
from gingham.schema import AttributeSchema


def class_loss(options: LossOptions, z: Sequence[float], c: int, n: Sequence[float]) -> float:
    """What one attribute with logits `z` and class counts `n` costs if class `c` is the target."""
    if options.name == "balanced_softmax":
        return _minus_log_p(
            [value + options.tau * math.log(count / sum(n)) for value, count in zip(z, n, strict=True)], c
        )
    if options.name == "ldam":
        margin = options.margin * min(n) ** 0.25 / n[c] ** 0.25
        return _minus_log_p([value - margin * (j == c) for j, value in enumerate(z)], c)
    loss = _minus_log_p(z, c)
    if options.name == "focal":
        exponentials = [math.exp(value - max(z)) for value in z]
        missing = sum(value for j, value in enumerate(exponentials) if j != c) / sum(exponentials)
        return options.alpha * missing**options.gamma * loss
    if options.name == "generalised_cross_entropy":
        return (1 - math.exp(-loss) ** options.q) / options.q
    assert options.name == "cross_entropy"
    return loss


def class_weights(options: LossOptions, schema: AttributeSchema, counts: Sequence[int]) -> list[float]:
    rule = options.class_weights
    if rule == "none":
        return [1.0] * schema.total
    if not isinstance(rule, str):
        named = {f"{attribute}/{label}": weight for attribute, pairs in rule for label, weight in pairs}
        return [named.get(column, 1.0) for column in schema.columns]
    weights = []
    for part in schema.slices:
        raw = []
        for n in counts[part]:
            if n == 0:
                raw.append(0.0)
            elif rule == "inverse":
                raw.append(1 / n)
            elif rule == "sqrt_inverse":
                raw.append(1 / math.sqrt(n))
            else:
                raw.append((1 - options.beta) / (1 - options.beta**n))
        present = [value for value, n in zip(raw, counts[part], strict=True) if n]
        weights += [value * len(present) / sum(present) for value in raw]
    return weights


def total_loss(
    options: LossOptions,
    schema: AttributeSchema,
    counts: Sequence[int],
    logits: Sequence[Sequence[float]],
    soft: Sequence[Sequence[float]],
    mask: Sequence[Sequence[float]],
    epoch: int,
    log_variances: Sequence[float],
) -> float:
    """The formula of the design, with everything that a recipe can ask for."""
    weights = class_weights(options, schema, counts)
    if options.deferred_from is not None and epoch < options.deferred_from - 1:
        weights = [1.0] * schema.total
    total = 0.0
    for k, part in enumerate(schema.slices):
        n = [count or min(other for other in counts[part] if other) for count in counts[part]]
        numerator = denominator = 0.0
        for row in range(len(logits)):
            if not mask[row][k]:
                continue
            z, given = logits[row][part], soft[row][part]
            for c, weight in enumerate(weights[part]):
                target = (1 - options.label_smoothing) * given[c] + options.label_smoothing * sum(given) / len(given)
                numerator += weight * target * class_loss(options, z, c, n)
                denominator += weight * target
        if denominator == 0:
            continue
        if options.attribute_weights == "learned":
            sigma = math.exp(log_variances[k] / 2)
            total += numerator / denominator / sigma**2 + math.log(sigma)
        else:
            named = {} if isinstance(options.attribute_weights, str) else dict(options.attribute_weights)
            total += named.get(schema.names[k], 1.0) * numerator / denominator
    return total


def _minus_log_p(z: Sequence[float], c: int) -> float:
    return max(z) + math.log(sum(math.exp(value - max(z)) for value in z)) - z[c]
