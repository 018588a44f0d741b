"""Labels that are likely wrong: where a model that has not seen an image is sure of another class.

Confident learning (Northcutt, Jiang and Chuang 2021), as the library cleanlab has it, on the out-of-fold predictions
of a linear head on a backbone's features. The head is trained here, so the backbone may be any: a tagger trained on
these data, or one that nobody trained.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from gingham.audit.report import AttributeErrors, LabelError
from gingham.data.decode import decode
from gingham.data.table import LabelTable
from gingham.errors import UserError
from gingham.inference.bundle import Bundle
from gingham.inference.cached import backbone_features, box_of, content_keys
from gingham.inference.features import FeatureOptions, FeatureStore
from gingham.models.backbone import Backbone
from gingham.progress import Reporter
from gingham.schema import Attribute

__all__ = ["label_errors", "pooled_features", "require_cleanlab"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

_FOLDS = 5
_COMPONENTS = 256
"""Principal components of the features that are kept: the result is that of all of them, in a fraction of the time."""

_PENALTY = 0.1
"""Strength of the L2 penalty. Measured on the wardrobe: half or three times as much changes little."""

_LISTED = 100
_CHUNK = 64


def require_cleanlab() -> None:
    """Check that what this needs is installed, before the long work.

    Raises:
        UserError: it is not; says how to install it.
    """
    try:
        import cleanlab.filter  # noqa: F401
    except ImportError:
        raise UserError("--model: finding label errors needs cleanlab; pip install 'gingham[audit]'") from None


def pooled_features(
    bundle: Bundle, table: LabelTable, *, workers: int, max_pixels: int, device: torch.device, reporter: Reporter
) -> Floats:
    """Mean and maximum over the image of a backbone's tokens, `[N, 2 D]`; the tokens are kept in the feature cache.

    Raises:
        BundleError: the model is an ensemble, or damaged.
        ImageError: an image cannot be read.
        DataError: the model looks at boxes, and one lies outside of its image.
        MachineError: the disk refuses.
    """
    member = bundle.only
    network = bundle.network().to(device)

    def pixels(row: int) -> npt.NDArray[np.uint8]:
        return member.preprocess.apply(decode(table.path(row), max_pixels=max_pixels), box_of(table, row))

    store = backbone_features(
        network,
        f"{member.model.backbone} {network.backbone.weights_hash()}",
        content_keys(table, member.preprocess, workers),
        pixels,
        limit_gb=FeatureOptions().limit_gb,
        workers=workers,
        device=device,
        reporter=reporter,
    )
    return _pooled(store, network.backbone, device)


def label_errors(
    table: LabelTable, features: Floats, groups: Sequence[int], *, reporter: Reporter
) -> dict[str, AttributeErrors]:
    """Judge every label by a linear head that has seen neither the image nor its duplicates.

    Args:
        table: N readable images.
        features: `[N, F]`.
        groups: N numbers; images of the same number are never on both sides of a fold.
        reporter: shows progress.

    Returns:
        Attribute -> its doubtful labels. A class that fewer than five groups have is not judged.
    """
    reduced = _reduced(features)
    numbers = np.asarray(groups, dtype=np.int64)
    found = {}
    with reporter.bar("looking for label errors", len(table.schema)) as bar:
        for attribute, targets in zip(table.schema.attributes, table.targets.T, strict=True):
            found[attribute.name] = _judge(table, attribute, targets, reduced, numbers)
            bar.advance(note=attribute.name)
    return found


def _judge(
    table: LabelTable, attribute: Attribute, targets: Integers, features: Floats, groups: Integers
) -> AttributeErrors:
    frequent = [number for number in range(len(attribute)) if len(np.unique(groups[targets == number])) >= _FOLDS]
    rare = tuple(
        label for number, label in enumerate(attribute.classes) if number not in frequent and (targets == number).any()
    )
    rows = np.flatnonzero(np.isin(targets, frequent))
    if len(frequent) < 2:
        return AttributeErrors(0, None, 0, rare, ())
    # Numbers 0 .. C' - 1 for the classes that are judged.
    labels = np.searchsorted(frequent, targets[rows])
    probabilities = _out_of_fold(features[rows], labels, groups[rows], len(frequent))
    likely, scores = _confident_learning(labels, probabilities)
    best = probabilities.argmax(axis=1)
    doubtful = [place for place in np.argsort(scores, kind="stable").tolist() if best[place] != labels[place]]
    chosen = [place for rank, place in enumerate(doubtful) if rank < _LISTED or likely[place]]
    candidates = tuple(
        LabelError(
            image=table.images[rows[place]],
            split=table.splits[rows[place]],
            attribute=attribute.name,
            given=attribute.classes[frequent[labels[place]]],
            suggested=attribute.classes[frequent[best[place]]],
            score=float(scores[place]),
            likely=bool(likely[place]),
        )
        for place in chosen
    )
    count = sum(error.likely for error in candidates)
    return AttributeErrors(len(rows), float((best == labels).mean()), count, rare, candidates)


def _reduced(features: Floats) -> Floats:
    """Standardised principal components; labels play no part, so all images may."""
    from sklearn.decomposition import PCA

    scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6) / np.sqrt(features.shape[1])
    count = min(_COMPONENTS, *features.shape)
    reduced: Floats = PCA(count, svd_solver="randomized", random_state=0).fit_transform(scaled)
    return reduced


def _out_of_fold(features: Floats, labels: Integers, groups: Integers, classes: int) -> npt.NDArray[np.float64]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold

    probabilities = np.zeros((len(labels), classes))
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        # Of heads that have not quite converged, and of classes scarcer than folds: neither matters for a ranking.
        warnings.simplefilter("ignore")
        for seen, held_out in folds.split(features, labels, groups):
            head = LogisticRegression(C=1 / _PENALTY, max_iter=200, tol=1e-3).fit(features[seen], labels[seen])
            probabilities[np.ix_(held_out, head.classes_)] = head.predict_proba(features[held_out])
    return probabilities


def _confident_learning(
    labels: Integers, probabilities: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Which labels are likely wrong, and the score of each: the probability of the given label."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        likely: Any = find_label_issues(labels, probabilities, n_jobs=1)
        scores: Any = get_label_quality_scores(labels, probabilities, method="self_confidence")
    return np.asarray(likely, dtype=np.bool_), np.asarray(scores, dtype=np.float64)


@torch.inference_mode()
def _pooled(store: FeatureStore, backbone: Backbone, device: torch.device) -> Floats:
    parts = []
    for start in range(0, len(store), _CHUNK):
        kept = torch.from_numpy(store.gather(np.arange(start, min(start + _CHUNK, len(store)))))
        # What is kept may be what goes into the backbone's last stages.
        tokens = backbone.finish(kept.to(device).float())
        parts.append(torch.cat([tokens.mean(dim=1), tokens.amax(dim=1)], dim=1).cpu().numpy())
    return np.concatenate(parts)
