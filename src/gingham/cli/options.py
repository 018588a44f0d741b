"""Options that several verbs share, and groups of verbs that suggest a spelling."""

import difflib
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from gingham.errors import MachineError, UserError

__all__ = [
    "SuggestingGroup",
    "check_outputs",
    "data_option",
    "data_settings",
    "device_option",
    "fast_decode_option",
    "file_path",
    "max_pixels_option",
    "model_argument",
    "out_folder",
    "out_path",
    "out_path_any",
    "out_path_ending",
    "rules_options",
    "running_options",
    "speed_options",
]

_F = TypeVar("_F", bound=Callable[..., Any])


class SuggestingGroup(click.Group):
    """A group whose error for an unknown verb names the nearest one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """As click's. Raises `click.UsageError` for an unknown verb."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}"
            raise click.UsageError(f"no verb '{args[0]}'; {hint}", ctx)
        return super().resolve_command(ctx, args)


class _OutPath(click.Path):
    """What is to be written, in a folder that can be written to or made. Checked before any work is done.

    Args:
        endings: how a file's name may end; none = as it likes.
        folder: whether it is a folder; None = that is seen later.
    """

    def __init__(self, endings: tuple[str, ...] = ("",), *, folder: bool | None = False) -> None:
        super().__init__(dir_okay=folder is not False, file_okay=not folder, path_type=Path)
        self._endings, self._folder = endings, folder

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click's. Raises `click.UsageError` for an unfit name, `MachineError` where writing is not allowed."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.name.lower().endswith(self._endings):
            self.fail(f"{path}: the ending must be {' or '.join(self._endings)}", param, ctx)
        folder = path.absolute() if self._folder else path.absolute().parent
        while not os.path.lexists(folder):
            folder = folder.parent
        if not folder.is_dir():
            self.fail(f"{path}: {folder} is not a folder", param, ctx)
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            why = "the file system is read-only" if _read_only(folder) else f"no permission for {folder}"
            raise MachineError(f"{path}: cannot be written: {why}; choose another place")
        # A new file takes the place of what has its name: a device or pipe would be gone for everybody.
        if path.exists() and not path.is_file() and not path.is_dir():
            self.fail(f"{path}: a device or pipe, not a file; choose another name", param, ctx)
        return path


def _read_only(folder: Path) -> bool:
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


file_path = click.Path(path_type=Path)

out_path = _OutPath()

out_folder = _OutPath(folder=True)

out_path_any = _OutPath(folder=None)

model_argument = click.argument("model", type=file_path, metavar="MODEL")

data_option = click.option(
    "--data", type=file_path, required=True, metavar="DIR|TABLE", help="Folder or table of labelled photos."
)

device_option = click.option(
    "--device", default="auto", show_default=True, metavar="cpu|cuda|mps", help="Where the network runs."
)

fast_decode_option = click.option(
    "--fast-decode",
    is_flag=True,
    help="Decode large JPEG photos at a smaller scale: faster, with nearly the same pixels. It is recorded.",
)


def out_path_ending(*endings: str) -> click.Path:
    """The type of an option for a file whose name must tell its format."""
    return _OutPath(endings)


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
        "--batch-size", type=click.IntRange(1), help="Images in one pass of the network.  [default: 8]"
    )(function)


def running_options(function: _F) -> _F:
    """`--device`, `--runtime`, `--threads` and `--deterministic`, which become the one argument `running`."""

    @functools.wraps(function)
    def command(
        *args: Any, device: str, runtime: str | None, threads: int | None, deterministic: bool, **rest: Any
    ) -> Any:
        running = {"device": device, "runtime": runtime, "threads": threads, "deterministic": deterministic}
        return function(*args, running=running, **rest)

    for option in (
        click.option(
            "--deterministic",
            is_flag=True,
            help="The same image gives the same bits here, in Python and in evaluation: one at a time, on one thread.",
        ),
        click.option(
            "--threads",
            type=click.IntRange(1),
            help="Threads of the network.  [default: OMP_NUM_THREADS, or the cores that the process has]",
        ),
        click.option(
            "--runtime",
            metavar="NAME",
            help="What runs the network: torch, torch-bf16, onnx, openvino, ...; auto = the fastest here with the same "
            "answers.  [default: torch, or what the model was exported for]",
        ),
        device_option,
    ):
        command = option(command)
    return cast(_F, command)


def rules_options(function: _F) -> _F:
    """`--leaks` and `--skip-unreadable`: which images are let into training."""
    function = click.option(
        "--skip-unreadable",
        type=click.FloatRange(0, 1),
        is_flag=False,
        flag_value=0.1,
        metavar="[SHARE]",
        help="Leave unreadable images out, up to this share of them; 0.1 if none is given. Else a single one is an "
        "error.",
    )(function)
    return click.option(
        "--leaks",
        type=click.Choice(["drop", "keep", "error"]),
        help="Training copies of photos that are also in val or test: leave them out (drop, the default), keep or "
        "error.",
    )(function)


def max_pixels_option(function: _F) -> _F:
    """`--max-pixels`."""
    return click.option(
        "--max-pixels",
        type=click.IntRange(1),
        metavar="N",
        help="Refuse larger images (width x height).  [default: as in training, 50000000 unless changed]",
    )(function)


def check_outputs(outputs: Mapping[str, Path | None], inputs: Sequence[Path | None]) -> None:
    """Check that no output would replace an input or another output.

    Args:
        outputs: option -> file to be written, if given.
        inputs: files and folders that are read.

    Raises:
        UserError: one would; names it.
    """
    read = {path.resolve() for path in inputs if path is not None}
    written: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        place = path.resolve()
        if place in read:
            raise UserError(f"{option} {path}: would replace what is read; choose another name")
        if place in written:
            raise UserError(f"{option} {path}: the same file as {written[place]}; choose another name")
        written[place] = option
