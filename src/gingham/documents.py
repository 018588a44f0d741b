"""JSON and YAML that anybody may have written: bounded in size, and refused where two readers could differ."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

__all__ = ["DOCUMENT_LIMIT", "parse_json", "parse_yaml", "read_limited"]

DOCUMENT_LIMIT = 8 * 2**20
"""Bytes of a document that describes something; parsed, one takes at most some twenty times as much memory."""


def read_limited(path: Path, limit: int = DOCUMENT_LIMIT) -> bytes:
    """The content of a plain file of at most `limit` bytes; pipes and devices, which may have no end, are not read.

    Raises:
        OSError: it is missing or cannot be read.
        ValueError: it is no plain file, or larger.
    """
    # Opening a pipe waits for its other end, unless told not to. Windows has neither.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a plain file")
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"more than {limit:,} bytes")
    return data


def parse_json(text: str | bytes) -> Any:
    """Plain values of strict JSON, in UTF-8: no NaN, no key twice.

    Raises:
        ValueError: anything else (`json.JSONDecodeError` where there is a line to name), or nested too deeply.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        return json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_yaml(text: str) -> Any:
    """Plain values of YAML: no tags of Python objects, no aliases, no key twice.

    Aliases are refused because a few lines of them can stand for billions of values.

    Raises:
        yaml.YAMLError: anything else; `problem_mark` has the line.
        ValueError: a number or date that cannot be, or nested too deeply.
    """
    try:
        # Not an unsafe load: the loader is PyYAML's safe one with two refusals more.
        return yaml.load(text, _StrictLoader)
    except RecursionError:
        raise ValueError("nested too deeply") from None


class _StrictLoader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise ConstructorError(None, None, "aliases (*name) are not read; write the value out", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise ConstructorError(None, None, f"key '{key.value}' occurs twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key occurs twice")
    return values


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON; write null")
