"""The templates of pages that open from disk: everything is escaped, and nothing is loaded from anywhere."""

import functools
import re

import jinja2
from markupsafe import Markup, escape

__all__ = ["render"]


def render(template: str, **values: object) -> str:
    """Fill a template of the package's resources. Names of files and classes come from strangers: all is escaped."""
    return _environment().get_template(template).render(**values)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gingham", "resources"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["thousands"] = lambda number: f"{number:,}"
    environment.filters["percent"] = lambda share: "-" if share is None else f"{share:.1%}"
    environment.filters["breakable"] = _breakable
    environment.filters["points"] = lambda share: "-" if share is None else f"{100 * share:+.1f}"
    return environment


def _breakable(name: str) -> Markup:
    """A name that may be broken behind its underscores and hyphens, rather than anywhere."""
    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[_-])(?=\w)", name))
