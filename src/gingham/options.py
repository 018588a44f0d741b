"""The base class of every block of a recipe: immutable, typed, and strict about unknown fields."""

import difflib
import json
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from gingham.documents import parse_json, parse_yaml, read_limited
from gingham.errors import GinghamError, RecipeError

__all__ = ["Options", "field_names", "load_yaml"]


class Options(BaseModel):
    """A block of options. Unknown fields and wrong types are errors; instances are immutable and hashable by value."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), validate_default=True)

    @classmethod
    def parse(
        cls, values: Mapping[str, Any], *, source: str = "options", error: type[GinghamError] = RecipeError
    ) -> Self:
        """Validate plain values (as read from YAML or JSON).

        Args:
            values: field name -> value; nested blocks are mappings.
            source: what the values came from (a file name), for the message.
            error: the error class to raise.

        Raises:
            RecipeError (or `error`): one line that names the field, what is wrong, and the nearest known field.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as failure:
            raise error(f"{source}: {_first_problem(cls, failure)}") from None


def field_names(options: type[Options], prefix: str = "") -> list[str]:
    """Dotted names of all leaf fields of a block and of the blocks inside it."""
    names: list[str] = []
    for name, field in options.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Options):
            names += field_names(inner, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def load_yaml(path: Path, *, error: type[GinghamError]) -> Any:
    """Read a YAML file with the safe loader, or one ending in `.json` as JSON.

    Raises:
        error: the file is missing, unreadable or malformed; one line with file and line number.
    """
    try:
        text = read_limited(path).decode("utf-8")
        # JSON is almost YAML, but not quite: its escapes of characters beyond 16 bits and its tabs are none.
        return parse_json(text) if path.suffix.lower() == ".json" else parse_yaml(text)
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as failure:
        raise error(f"{path}: cannot be read ({failure})") from None
    except json.JSONDecodeError as failure:
        raise error(f"{path}:{failure.lineno}: not valid JSON ({failure.msg})") from None
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise error(f"{where}: not valid YAML ({getattr(failure, 'problem', None) or failure})") from None
    except ValueError as failure:
        raise error(f"{path}: cannot be read ({failure})") from None


def _first_problem(options: type[Options], failure: ValidationError) -> str:
    problem = failure.errors(include_url=False)[0]
    dotted = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(dotted, field_names(options), n=1, cutoff=0.5)
        return f"unknown field '{dotted}'" + (f"; did you mean '{near[0]}'?" if near else "")
    if problem["type"] == "model_type":
        return f"{dotted or 'it'}: expected a block of fields, got {problem['input']!r}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{dotted}: {message} (got {reprlib.repr(problem['input'])[:200]})" if dotted else message
