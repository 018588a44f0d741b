"""Typed errors and the exit codes that they become on the command line.

Every message is one line that names the file, line or field and the way out.
"""

from enum import IntEnum

__all__ = [
    "BundleError",
    "DataError",
    "ExitCode",
    "GinghamError",
    "ImageError",
    "MachineError",
    "RecipeError",
    "SchemaError",
    "UserError",
    "WeightsError",
    "one_line",
]


class ExitCode(IntEnum):
    """What the process returns to the shell."""

    DONE = 0
    BUG = 1
    USER = 2
    MACHINE = 3
    SOME_UNREADABLE = 4
    PROMISE_BROKEN = 5
    INTERRUPTED = 130
    TERMINATED = 143


class GinghamError(Exception):
    """Base of all errors that Gingham raises on purpose."""

    exit_code: ExitCode = ExitCode.BUG


class UserError(GinghamError):
    """The input, the options or the files given are wrong; the message says how to put them right."""

    exit_code = ExitCode.USER


class SchemaError(UserError):
    """An attribute schema is malformed, or two schemas that must agree do not."""


class DataError(UserError):
    """A data set, label table or split is malformed."""


class RecipeError(UserError):
    """A recipe has an unknown field, a wrong value, or options that cannot be combined."""


class BundleError(UserError):
    """A bundle, run, checkpoint or predictions file is missing, damaged or of the wrong kind."""


class WeightsError(UserError):
    """Backbone weights cannot be had or do not fit the backbone."""


class ImageError(UserError):
    """One image could not be read; `reason` is one of a small set of names.

    Attributes:
        reason: `unreadable`, `truncated`, `too_large`, `unsupported`, `not_found`, or `bad_box` (outside the image).
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        """Keep both arguments when the error crosses a process boundary."""
        return (ImageError, (self.reason, str(self)))


class MachineError(GinghamError):
    """The machine ran out of something (disk, memory) or refused it (permissions)."""

    exit_code = ExitCode.MACHINE


def one_line(failure: BaseException) -> str:
    """What a library's error says, for a message of ours; its class, if it says nothing."""
    return " ".join(str(failure).split()) or type(failure).__name__
