"""The one concept of Gingham: an ordered list of attributes, each an ordered list of classes."""

import difflib
import hashlib
import json
import reprlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gingham.errors import SchemaError
from gingham.options import load_yaml

__all__ = ["RESERVED_NAMES", "UNLABELLED", "Attribute", "AttributeSchema"]

UNLABELLED = -1
"""The integer target of an image that has no label for an attribute."""

RESERVED_NAMES = frozenset({"image", "id", "error", "split", "path", "width", "height", "box", "brightness"})
"""Names of columns that Gingham writes beside the attributes."""

_RESERVED_SUFFIXES = ("_confidence", "_accepted")

# What a person names garments by is far below; what a stranger's file claims may be far above.
_MOST_ATTRIBUTES, _MOST_CLASSES, _LONGEST_NAME = 1_000, 20_000, 200


@dataclass(frozen=True)
class Attribute:
    """One attribute: its name and its mutually exclusive classes, in the order of the logits.

    Raises:
        SchemaError: empty, reserved or overlong name, no classes, or a class that is empty or occurs twice.
    """

    name: str
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        name = self.name
        if not isinstance(name, str) or not name.strip() or name != name.strip():
            raise SchemaError(f"attribute {name!r}: a name must be text without blanks around it")
        _check_length(name)
        if "/" in name or _has_control(name):
            raise SchemaError(f"attribute '{name}': a name may hold neither '/' nor control characters")
        if name in RESERVED_NAMES or name.endswith(_RESERVED_SUFFIXES):
            raise SchemaError(f"attribute '{name}': the name is reserved for a column of the output; choose another")
        if not self.classes:
            raise SchemaError(f"attribute '{name}': it has no classes; name at least two")
        if len(self.classes) < 2:
            raise SchemaError(f"attribute '{name}': it has one class ('{self.classes[0]}'); name at least two")
        seen: set[str] = set()
        for label in self.classes:
            if not isinstance(label, str) or not label.strip() or label != label.strip():
                raise SchemaError(f"attribute '{name}': class {label!r} must be text without blanks around it")
            _check_length(label)
            if _has_control(label):
                raise SchemaError(f"attribute '{name}': class {label!r} holds a control character")
            if label in seen:
                raise SchemaError(f"attribute '{name}': class '{label}' occurs twice")
            seen.add(label)

    def __len__(self) -> int:
        return len(self.classes)

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Class name -> integer target."""
        return {label: position for position, label in enumerate(self.classes)}

    def encode(self, label: str) -> int:
        """The integer target of a class name.

        Raises:
            SchemaError: unknown class; the message names the nearest spelling.
        """
        try:
            return self.index[label]
        except KeyError:
            spelling = {known.lower(): known for known in self.classes}
            near = difflib.get_close_matches(label.lower(), spelling, n=1, cutoff=0.5)
            hint = f"; did you mean '{spelling[near[0]]}'?" if near else f"; it has {', '.join(self.classes)}"
            raise SchemaError(f"attribute '{self.name}': unknown class '{label}'{hint}") from None


@dataclass(frozen=True)
class AttributeSchema:
    """K attributes with C_1 .. C_K classes; slices logits `[N, ΣC]` and encodes targets `[N, K]`.

    Raises:
        SchemaError: no attributes, more than 1,000 of them or 20,000 classes in all, or a name that occurs twice.
    """

    attributes: tuple[Attribute, ...]

    def __post_init__(self) -> None:
        if not self.attributes:
            raise SchemaError("schema: it has no attributes; name at least one")
        if len(self.attributes) > _MOST_ATTRIBUTES or self.total > _MOST_CLASSES:
            raise SchemaError(
                f"schema: {len(self.attributes):,} attributes with {self.total:,} classes; "
                f"at most {_MOST_ATTRIBUTES:,} and {_MOST_CLASSES:,} are taken"
            )
        names = [attribute.name for attribute in self.attributes]
        for name in names:
            if names.count(name) > 1:
                raise SchemaError(f"attribute '{name}': it occurs twice")

    def __len__(self) -> int:
        """Number of attributes, K."""
        return len(self.attributes)

    def __str__(self) -> str:
        described = ", ".join(f"{attribute.name} ({len(attribute)})" for attribute in self.attributes)
        return f"{described} [{self.fingerprint[:12]}]"

    @classmethod
    def of(cls, attributes: Mapping[str, Iterable[str]]) -> "AttributeSchema":
        """Build from a mapping attribute -> classes, in the mapping's order. Raises `SchemaError`."""
        return cls(tuple(Attribute(name, tuple(classes)) for name, classes in attributes.items()))

    @classmethod
    def from_plain(cls, value: Any, *, source: str = "schema") -> "AttributeSchema":
        """Build from what a YAML or JSON file holds: an object attribute -> list of classes.

        Raises:
            SchemaError: anything else, with `source` and the attribute in the message.
        """
        if not isinstance(value, dict):
            raise SchemaError(f"{source}: expected attribute names with lists of classes, got {type(value).__name__}")
        for name, classes in value.items():
            if not isinstance(name, str):
                raise SchemaError(f"{source}: attribute {name!r} is not text; put it in quotes")
            if not isinstance(classes, list):
                raise SchemaError(
                    f"{source}: attribute '{name}': expected a list of classes, got {reprlib.repr(classes)}"
                )
            for label in classes:
                if not isinstance(label, str):
                    # YAML reads `no`, `on` and `1` as a boolean or a number.
                    raise SchemaError(
                        f"{source}: attribute '{name}': class {reprlib.repr(label)} is not text; put it in quotes"
                    )
        try:
            return cls.of(value)
        except SchemaError as failure:
            raise SchemaError(f"{source}: {failure}") from None

    @classmethod
    def from_file(cls, path: Path) -> "AttributeSchema":
        """Read a `.yaml` or `.json` schema file. Raises `SchemaError` naming the file and the attribute."""
        return cls.from_plain(load_yaml(path, error=SchemaError), source=str(path))

    @classmethod
    def builtin(cls, name: str) -> "AttributeSchema":
        """Read a schema that ships with the package, by name.

        Raises:
            SchemaError: no such schema; the message lists those that there are.
        """
        folder = resources.files("gingham") / "resources" / "schemas"
        file = folder / f"{name}.yaml"
        if not file.is_file():
            known = sorted(
                entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")
            )
            raise SchemaError(f"schema '{name}': no such built-in schema; there are {', '.join(known)}, or give a file")
        with resources.as_file(file) as path:
            return cls.from_file(path)

    @classmethod
    def load(cls, name_or_path: str) -> "AttributeSchema":
        """A file if the text looks like a path (`.yaml`, `.yml`, `.json` or with a separator), else a built-in."""
        path = Path(name_or_path)
        if path.suffix in {".yaml", ".yml", ".json"} or len(path.parts) > 1:
            return cls.from_file(path)
        return cls.builtin(name_or_path)

    def to_plain(self) -> dict[str, list[str]]:
        """An object attribute -> list of classes, ready for JSON or YAML; `from_plain` reads it back."""
        return {attribute.name: list(attribute.classes) for attribute in self.attributes}

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes' names, in order."""
        return tuple(attribute.name for attribute in self.attributes)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """C_1 .. C_K."""
        return tuple(len(attribute) for attribute in self.attributes)

    @cached_property
    def total(self) -> int:
        """ΣC, the width of the logits."""
        return sum(self.sizes)

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Where each attribute's logits are in the flat `[N, ΣC]` array."""
        ends = np.cumsum(self.sizes).tolist()
        return tuple(slice(end - size, end) for end, size in zip(ends, self.sizes, strict=True))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """ΣC names `attribute/class`, one for each logit."""
        return tuple(f"{attribute.name}/{label}" for attribute in self.attributes for label in attribute.classes)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of names, classes and their order: equal exactly when logits and targets mean the same."""
        canonical = json.dumps(list(self.to_plain().items()), ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("utf-8")).hexdigest()

    def __getitem__(self, name: str) -> Attribute:
        """The attribute of that name. Raises `SchemaError` with the nearest spelling."""
        for attribute in self.attributes:
            if attribute.name == name:
                return attribute
        near = difflib.get_close_matches(name, self.names, n=1, cutoff=0.5)
        hint = f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(self.names)}"
        raise SchemaError(f"unknown attribute '{name}'{hint}")

    def encode(self, labels: Mapping[str, str | None]) -> npt.NDArray[np.int64]:
        """Targets `[K]` of one image; a missing attribute or `None` becomes -1.

        Raises:
            SchemaError: unknown attribute or class, with the nearest spelling.
        """
        for name in labels:
            self[name]
        values = ((attribute, labels.get(attribute.name)) for attribute in self.attributes)
        return np.array(
            [UNLABELLED if label is None else attribute.encode(label) for attribute, label in values], dtype=np.int64
        )

    def decode(self, targets: Sequence[int] | npt.NDArray[np.int64]) -> dict[str, str | None]:
        """The class names of targets `[K]`; -1 becomes `None`. Raises `SchemaError` for a number out of range."""
        if len(targets) != len(self):
            raise SchemaError(f"schema has {len(self)} attributes, got {len(targets)} targets")
        decoded: dict[str, str | None] = {}
        for attribute, target in zip(self.attributes, targets, strict=True):
            if not UNLABELLED <= target < len(attribute):
                raise SchemaError(f"attribute '{attribute.name}': target {target} is not in -1..{len(attribute) - 1}")
            decoded[attribute.name] = None if target == UNLABELLED else attribute.classes[target]
        return decoded

    def require_same(self, other: "AttributeSchema", mine: str, theirs: str) -> None:
        """Check that logits and targets of two things mean the same.

        Args:
            other: the other schema.
            mine: what has this schema, for the message.
            theirs: what has the other one.

        Raises:
            SchemaError: they differ; the message names both and the first difference.
        """
        if self.fingerprint == other.fingerprint:
            return
        difference = "the order of attributes or classes"
        if set(self.names) != set(other.names):
            difference = f"attributes {', '.join(sorted(set(self.names) ^ set(other.names)))}"
        else:
            for attribute in self.attributes:
                unshared = sorted(set(attribute.classes) ^ set(other[attribute.name].classes))
                if unshared:
                    difference = f"attribute '{attribute.name}', classes {', '.join(unshared)}"
                    break
        raise SchemaError(f"the schema of {mine} is {self}, that of {theirs} is {other}: they differ in {difference}")


def _has_control(text: str) -> bool:
    return any(unicodedata.category(character) == "Cc" for character in text)


def _check_length(name: str) -> None:
    if len(name) > _LONGEST_NAME:
        raise SchemaError(f"'{name[:40]}...': {len(name):,} characters; a name has at most {_LONGEST_NAME}")
