"""Options that several verbs share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["data_option", "data_settings", "device_option", "file_path", "model_argument", "speed_options"]

_F = TypeVar("_F", bound=Callable[..., Any])

file_path = click.Path(path_type=Path)

model_argument = click.argument("model", type=file_path, metavar="MODEL")

data_option = click.option(
    "--data", type=file_path, required=True, metavar="DIR|TABLE", help="Folder or table of labelled photos."
)

device_option = click.option(
    "--device", default="auto", show_default=True, metavar="cpu|cuda|mps", help="Where the network runs."
)


def data_settings(function: _F) -> _F:
    """`--set data.field=value`, for verbs that read labels without a recipe."""
    return click.option(
        "--set",
        "changes",
        multiple=True,
        metavar="data.FIELD=VALUE",
        help="Change how the labels are read, as a recipe's data block does; repeatable.",
    )(function)


def speed_options(function: _F) -> _F:
    """`--batch-size` and `--workers`."""
    function = click.option(
        "--workers", type=click.IntRange(1), default=2, show_default=True, help="Decoding threads."
    )(function)
    return click.option(
        "--batch-size", type=click.IntRange(1), default=16, show_default=True, help="Images in one pass of the network."
    )(function)
