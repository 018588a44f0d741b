"""What people write without Gingham: the same network, Pillow, torchvision's transforms, a DataLoader, eager fp32.

It is given its best chance: inference mode, and `benchmarks` picks its fastest number of workers, threads and images a
batch. As a script, `python -m benchmarks.plain MODEL OUT PHOTO...` tags photos and ends.
"""

import csv
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

__all__ = ["Photos", "PlainNetwork", "load", "tag", "transform"]


class Photos(Dataset[Tensor]):
    """Photos as normalised tensors."""

    def __init__(self, paths: list[str], transform: Any) -> None:
        self.paths = paths
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.paths[index]) as image:
            seen: Tensor = self.transform(image.convert("RGB"))
        return seen


class PlainNetwork(nn.Module):
    """A network of Gingham's without its normalisation, which the transforms have done already."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network.from_features(self.network.backbone.begin(images))
        return logits


def load(model: str) -> tuple[nn.Module, Any, list[tuple[str, ...]]]:
    """The network of a bundle on normalised images `[B, 3, H, W]`, its preprocessing, each attribute's classes."""
    from gingham.inference.bundle import open_bundle

    bundle = open_bundle(Path(model))
    member = bundle.members[0]
    return (
        PlainNetwork(bundle.networks()[0]).eval(),
        member.preprocess,
        [one.classes for one in bundle.schema.attributes],
    )


def transform(preprocess: Any) -> Any:
    """torchvision's usual: resize, to tensor, normalise."""
    return transforms.Compose(
        [
            transforms.Resize(
                (preprocess.size, preprocess.size),
                interpolation=transforms.InterpolationMode(preprocess.interpolation),
            ),
            transforms.ToTensor(),
            transforms.Normalize(preprocess.mean, preprocess.std),
        ]
    )


@torch.inference_mode()
def tag(network: nn.Module, loader: DataLoader[Tensor], classes: list[tuple[str, ...]], out: Path) -> Tensor:
    """The loop itself: the best class of each attribute and its probability into a CSV file; all logits come back."""
    photos = loader.dataset
    assert isinstance(photos, Photos)
    place, found = iter(photos.paths), []
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        for images in loader:
            logits = network(images)
            found.append(logits)
            best = [part.softmax(1).max(1) for part in logits.split([len(names) for names in classes], 1)]
            for row in range(len(images)):
                cells: list[str | float] = []
                for names, chosen in zip(classes, best, strict=True):
                    cells += [names[int(chosen.indices[row])], float(chosen.values[row])]
                writer.writerow([next(place), *cells])
    return torch.cat(found)


def main(model: str, out: str, *paths: str) -> None:
    network, preprocess, classes = load(model)
    tag(network, DataLoader(Photos(list(paths), transform(preprocess)), batch_size=16), classes, Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
