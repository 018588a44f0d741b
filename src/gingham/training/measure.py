"""The final predictions of a run on its validation images: as users will get them, or from cached features."""

import numpy as np
import torch

from gingham.data.prefetch import prefetch
from gingham.inference.tagger import Tagger, Voter
from gingham.inference.torch_runtime import TorchRuntime
from gingham.predictions import Predictions, log_mean_probability
from gingham.training.inputs import cached_views
from gingham.training.parts import Parts
from gingham.training.recipe import looks_at_means

__all__ = ["FROM_FEATURES", "predict_validation"]

FROM_FEATURES = "cached features"
"""What `source["computed_from"]` says of predictions that were made without decoding the images again."""

_BATCH = 64


def predict_validation(parts: Parts, *, from_features: bool) -> Predictions:
    """Predict the validation images, in all test-time views, with the weights that are loaded.

    Args:
        parts: of the run.
        from_features: whether cached features will do, where the recipe has them. They are rounded to float16, so that
            logits differ in the third digit; nothing is decoded that was decoded before.

    Raises:
        UserError: an image cannot be read, or features do not fit the cache's limit.
        MachineError: the disk refuses.
    """
    if from_features and parts.recipe.features.cache:
        return _from_features(parts)
    tagger = Tagger(
        [Voter(TorchRuntime(parts.network, parts.accelerator.device), parts.preprocess, parts.recipe.test_time)],
        parts.val_table.schema,
        max_pixels=parts.recipe.data.max_pixels,
    )
    return tagger.predict(parts.val_table, workers=parts.recipe.train.workers, reporter=parts.reporter)


def _from_features(parts: Parts) -> Predictions:
    recipe, table, device = parts.recipe, parts.val_table, parts.accelerator.device
    store, counts = cached_views(
        parts.network,
        parts.space,
        table,
        parts.preprocess,
        recipe.test_time,
        recipe.features,
        workers=recipe.train.workers,
        device=device,
        reporter=parts.reporter,
        max_pixels=recipe.data.max_pixels,
        means=looks_at_means(recipe),
    )
    starts = range(0, len(store), _BATCH)
    batches = [np.arange(start, min(start + _BATCH, len(store)), dtype=np.int64) for start in starts]
    trained = parts.trained.eval()
    with torch.inference_mode():
        logits = [
            trained(torch.from_numpy(tokens).float().to(device)).float().cpu().numpy()
            for tokens in prefetch(batches, store.gather, workers=recipe.train.workers, depth=4)
        ]
    views = np.split(np.concatenate(logits), np.cumsum(counts)[:-1])
    # Of one view the logits stay what they are, as in the tagger.
    each = [own if len(own) == 1 else log_mean_probability(list(own[:, None]), table.schema) for own in views]
    source = {"model": "", "data": table.source, "computed_from": FROM_FEATURES}
    return Predictions(table.schema, table.images, np.concatenate(each), table.targets, {}, source)
