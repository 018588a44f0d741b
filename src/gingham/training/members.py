"""The `members:` block of a recipe: parts of an ensemble, each the whole recipe with changes of its own."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, Field, field_validator

from gingham.options import Options

__all__ = ["MemberOptions"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class MemberOptions(Options):
    """One member of an ensemble.

    Attributes:
        name: of the member and of its folder: letters, digits and `. _ -`.
        changes: in a recipe `set`: dotted field -> value, on top of the recipe, as `--set` takes them. `data` is the
            same for all members, and a member has no members.
    """

    model_config = ConfigDict(populate_by_name=True)

    name: str
    changes: Mapping[str, Any] = Field(default={}, alias="set")

    @field_validator("name")
    @classmethod
    def _usable(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("a name has 1 to 64 letters, digits or . _ - and begins with a letter or digit")
        return name

    @field_validator("changes")
    @classmethod
    def _own(cls, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        for field in changes:
            block = field.partition(".")[0].strip()
            if block == "data":
                raise ValueError(f"'{field}': all members of a run tag the same data; change it for the whole recipe")
            if block == "members":
                raise ValueError("a member has no members; list them all in one list")
        return changes
