"""Put what was measured into the page: `python -m benchmarks.gather DIR --page docs/performance.md`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from benchmarks.harness import Plan
from benchmarks.machine import sentence
from benchmarks.run import LETTERS
from benchmarks.tables import markdown
from gingham.documents import DOCUMENT_LIMIT
from gingham.storage import read_json, write_text

__all__ = ["filled", "section"]


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--page", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
def main(folder: Path, page: Path) -> None:
    """Replace what is between the markers of each letter that was measured."""
    text = page.read_text(encoding="utf-8")
    for letter in LETTERS:
        file = folder / f"{letter}.json"
        if not file.is_file():
            click.echo(f"{letter}: not measured, left as it is")
            continue
        try:
            text = filled(text, letter, section(read_json(file, limit=DOCUMENT_LIMIT)))
        except ValueError as failure:
            raise click.ClickException(f"{page}: {failure}") from None
    write_text(page, text)


def section(found: Mapping[str, Any]) -> str:
    """The Markdown of a letter's document."""
    if found["missing"]:
        return f"Not measured: {found['missing']}."
    options = " --quick" * found["quick"] + " --swin" * found["swin"]
    options += f" --rounds {found['rounds']}" * (not found["quick"] and found["rounds"] != Plan().rounds)
    command = f"python -m benchmarks.run --only {found['letter']}{options}"
    took = found["took"]
    how = f"`{command}`, {took / 60:.0f} minutes: {sentence(found['machine'])}"
    return f"{markdown(found['tables'])}\n\n{how}"


def filled(page: str, letter: str, text: str) -> str:
    """The page with that text between the letter's markers.

    Raises:
        ValueError: the markers are not there once each, in order.
    """
    begin, end = f"<!-- bench:{letter} -->", f"<!-- /bench:{letter} -->"
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ValueError(f"expected {begin} and, after it, {end}, once each")
    return f"{page[: page.index(begin)]}{begin}\n\n{text}\n\n{page[page.index(end) :]}"


if __name__ == "__main__":
    main()
