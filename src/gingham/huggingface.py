"""The Hugging Face Hub: its errors in one line, and what a commit looks like. Nothing here downloads."""

import contextlib
import re
from collections.abc import Iterator

import huggingface_hub
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from gingham.errors import GinghamError, UserError

__all__ = ["endpoint", "hub_errors", "is_commit", "split_reference"]

_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_commit(revision: str | None) -> bool:
    """Whether a revision is the full hash of a commit, which always stands for the same files."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def split_reference(text: str) -> tuple[str, str | None]:
    """`OWNER/NAME[@REVISION]` as (repository, revision or None).

    Raises:
        UserError: it is not of that form.
    """
    repository, at, revision = text.partition("@")
    try:
        validate_repo_id(repository)
    except HFValidationError:
        repository = ""
    if repository.count("/") != 1 or bool(at) != bool(revision):
        raise UserError(f"{text}: no repository on the Hugging Face Hub is called so; expected OWNER/NAME[@REVISION]")
    return repository, revision or None


def endpoint() -> str:
    """The address of the Hub; `HF_ENDPOINT` names another one."""
    return str(huggingface_hub.constants.ENDPOINT)


@contextlib.contextmanager
def hub_errors(what: str, way_out: str, *, error: type[UserError]) -> Iterator[None]:
    """Turn whatever goes wrong while asking the Hub into one line `what: reason; way_out`.

    Raises:
        error: the Hub refused, or was not reached.
        OSError: of this machine's disk.
    """
    try:
        yield
    except GinghamError:
        raise
    except Exception as failure:
        # Any class: what the library's HTTP client raises differs between its versions. Its own errors are `OSError`s
        # too, but without a number.
        if isinstance(failure, OSError) and failure.errno is not None:
            raise
        raise error(f"{what}: {_reason(failure)} ({endpoint()}); {way_out}") from failure


def _reason(failure: Exception) -> str:
    match failure:
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE forbids to ask the Hub"
        case GatedRepoError():
            return "the repository asks for a licence to be accepted first, and for 'hf auth login'"
        case RepositoryNotFoundError():
            return "the repository does not exist, or is private"
        case RevisionNotFoundError():
            return "the repository has no such revision"
        case EntryNotFoundError():
            return "the repository lacks the file"
        case HfHubHTTPError():
            return f"the Hub refused it: {_line(failure)}"
        case _:
            return f"the Hub cannot be reached: {_line(failure.__cause__ or failure)}"


def _line(failure: BaseException) -> str:
    return (str(failure).strip().splitlines() or [repr(failure)])[0]
