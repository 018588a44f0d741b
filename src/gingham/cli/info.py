"""`gingham info`."""

from pathlib import Path
from typing import Any

import click

__all__ = ["command"]

_ASSUMED = "assumed: deepfashion (the recipe takes its schema from the labels; --schema names another to count with)"


@click.command("info")
@click.argument("subject", metavar="MODEL|RECIPE")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--schema",
    "schema_name",
    metavar="NAME|FILE",
    help="Schema for a recipe's head; default: the recipe's, or deepfashion.",
)
def command(subject: str, as_json: bool, schema_name: str | None) -> None:
    """Describe a bundle, a run or a recipe, with its parameter table."""
    from rich.table import Table

    from gingham.cli.console import print_json, print_result

    facts, parts = _describe(subject, schema_name)
    if as_json:
        print_json({**facts, "parts": dict(parts)})
        return
    for name, value in facts.items():
        if name not in {"parameters", "backbone_parameters", "schema"}:
            print_result(f"{name}: {value}")
    table = Table("part", "parameters")
    table.columns[1].justify = "right"
    for name, count in parts:
        table.add_row(name, f"{count:,}")
    table.add_section()
    table.add_row("in all", f"{facts['parameters']:,}", style="bold")
    print_result(table)
    for attribute, classes in facts["schema"].items():
        print_result(f"{attribute}: {', '.join(classes)}")


def _describe(subject: str, schema_name: str | None) -> tuple[dict[str, Any], list[tuple[str, int]]]:
    import difflib

    import torch

    from gingham.errors import UserError
    from gingham.inference.bundle import open_bundle
    from gingham.inference.repository import pulled_from
    from gingham.models.network import build_network, parameter_table
    from gingham.schema import AttributeSchema
    from gingham.training.builtin import builtin_recipes
    from gingham.training.recipe import load_recipe

    path = Path(subject)
    if (subject in builtin_recipes() and not path.exists()) or path.suffix in {".yaml", ".yml", ".json"}:
        recipe = load_recipe(subject)
        own = schema_name or recipe.data.schema_file
        schema = AttributeSchema.load(own or "deepfashion")
        model, size = recipe.model, recipe.preprocess.size
        facts: dict[str, Any] = {"recipe": subject, "schema_source": own or _ASSUMED}
    else:
        if not path.exists() and len(path.parts) == 1:
            near = difflib.get_close_matches(subject, builtin_recipes(), n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"recipes: {', '.join(builtin_recipes())}"
            raise UserError(f"{subject}: neither a folder with a model nor a recipe; {hint}")
        if schema_name is not None:
            raise UserError(f"--schema {schema_name}: {subject} has its own schema; leave --schema out")
        bundle = open_bundle(path)
        schema, model, size = bundle.schema, bundle.model, bundle.preprocess.size
        facts = {
            "model": str(bundle.path),
            "hash": bundle.hash,
            **pulled_from(bundle),
            **{key: value for key, value in bundle.trained.items() if key != "metrics"},
        }
    with torch.device("meta"):
        network = build_network(
            model, schema, image_size=size, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), load_weights=False
        )
    parts = parameter_table(network)
    total = sum(count for _, count in parts)
    backbone = sum(count for name, count in parts if name == "backbone")
    facts |= {
        "backbone": model.backbone,
        "head": model.head,
        "image_size": size,
        "parameters": total,
        "backbone_parameters": backbone,
        "schema": schema.to_plain(),
    }
    return facts, parts
