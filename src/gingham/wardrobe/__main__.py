"""Make a contact sheet of the wardrobe: `python -m gingham.wardrobe --sheet FILE`."""

from pathlib import Path

import click
from PIL import Image

from gingham.wardrobe.sheet import contact_sheet


@click.command()
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The PNG file to write.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Which sheet.")
@click.option("--size", type=click.IntRange(min=32), default=110, show_default=True, help="Side of one picture.")
@click.option("--per-row", type=click.IntRange(min=7), default=14, show_default=True, help="Pictures in a row.")
def main(sheet: Path, seed: int, size: int, per_row: int) -> None:
    """Draw every class of the wardrobe several times on one sheet."""
    picture = contact_sheet(seed, size=size, per_row=per_row)
    # A palette makes the file a third of the size, and the eye hardly minds.
    palette = picture.quantize(256, kmeans=3)
    picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(sheet, format="PNG", optimize=True)


if __name__ == "__main__":
    main()
