"""`gingham info`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from gingham.inference.calibration import StoredCalibration
    from gingham.inference.member import Member
    from gingham.schema import AttributeSchema

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
    from gingham.cli.console import print_json, print_result

    facts = _describe(subject, schema_name)
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        if name not in {"parameters", "backbone_parameters", "parts", "members", "schema", "calibration"}:
            print_result(f"{name}: {value}")
    print_result(_member_table(facts) if "members" in facts else _part_table(facts))
    for line in _calibration_lines(facts.get("calibration")):
        print_result(line)
    for attribute, classes in facts["schema"].items():
        print_result(f"{attribute}: {', '.join(classes)}")


def _calibration_lines(calibration: dict[str, Any] | None) -> list[str]:
    if calibration is None:
        return []
    lines = ["calibrated: " + "; ".join(f"{name}: {value}" for name, value in calibration["facts"].items())]
    for one in calibration["decisions"]:
        accepted = ", ".join(f"{name} {share:.1%}" for name, share in one["accepted"].items())
        lines.append(f"--precision {one['precision']:g}: accepts {accepted} of the tested photos")
    return [*lines, *(f"--coverage {coverage:g}: prediction sets" for coverage in calibration["sets"])]


def _part_table(facts: dict[str, Any]) -> "Table":
    from rich.table import Table

    table = Table("part", "parameters")
    table.columns[1].justify = "right"
    for name, count in facts["parts"].items():
        table.add_row(name, f"{count:,}")
    table.add_section()
    table.add_row("in all", f"{facts['parameters']:,}", style="bold")
    return table


def _member_table(facts: dict[str, Any]) -> "Table":
    from rich.table import Table

    table = Table("member", "backbone", "head", "pixels", "views", "parameters")
    table.columns[-1].justify = "right"
    for member in facts["members"]:
        table.add_row(
            member["name"],
            member["backbone"],
            member["head"],
            str(member["image_size"]),
            member["views"],
            f"{member['parameters']:,}",
        )
    table.add_section()
    table.add_row("in all", "", "", "", "", f"{facts['parameters']:,}", style="bold")
    return table


def _describe(subject: str, schema_name: str | None) -> dict[str, Any]:
    import difflib

    from gingham.errors import UserError
    from gingham.inference.bundle import open_bundle
    from gingham.inference.member import Member
    from gingham.inference.repository import pulled_from
    from gingham.schema import AttributeSchema
    from gingham.training.builtin import builtin_recipes
    from gingham.training.recipe import load_recipe

    path = Path(subject)
    if (subject in builtin_recipes() and not path.exists()) or path.suffix in {".yaml", ".yml", ".json"}:
        recipe = load_recipe(subject)
        chosen = schema_name or recipe.data.schema_file
        schema = AttributeSchema.load(chosen or "deepfashion")
        members = tuple(
            Member(name=name, model=one.model, preprocess=one.preprocess, test_time=one.test_time)
            for name, one in (recipe.member_recipes() or {"": recipe}).items()
        )
        facts: dict[str, Any] = {"recipe": subject, "schema_source": chosen or _ASSUMED}
    else:
        if not path.exists() and len(path.parts) == 1:
            near = difflib.get_close_matches(subject, builtin_recipes(), n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"recipes: {', '.join(builtin_recipes())}"
            raise UserError(f"{subject}: neither a folder with a model nor a recipe; {hint}")
        if schema_name is not None:
            raise UserError(f"--schema {schema_name}: {subject} has its own schema; leave --schema out")
        bundle = open_bundle(path)
        schema, members = bundle.schema, bundle.members
        facts = {
            "model": str(bundle.path),
            "hash": bundle.hash,
            **pulled_from(bundle),
            **{key: value for key, value in bundle.trained.items() if key != "metrics"},
        }
        if bundle.calibrated:
            facts["calibration"] = _calibration_facts(bundle.calibration)
    described = [_member_facts(member, schema) for member in members]
    if len(described) == 1:
        return {**facts, **described[0], "schema": schema.to_plain()}
    sums = {key: sum(member[key] for member in described) for key in ("parameters", "backbone_parameters")}
    named = [{"name": member.name, **own} for member, own in zip(members, described, strict=True)]
    return {**facts, "members": named, **sums, "schema": schema.to_plain()}


def _calibration_facts(stored: "StoredCalibration") -> dict[str, Any]:
    decisions = [
        {
            "precision": one.precision,
            "joint": one.joint,
            "per_class": one.per_class,
            "accepted": {
                name: sum(group.accepted for group in groups) / max(1, sum(group.photos for group in groups))
                for name, groups in one.groups.items()
            },
        }
        for one in stored.decisions
    ]
    return {"facts": dict(stored.facts), "decisions": decisions, "sets": [one.coverage for one in stored.sets]}


def _member_facts(member: "Member", schema: "AttributeSchema") -> dict[str, Any]:
    """Of one network: what it is, how it looks at images, and its parameters."""
    from gingham.models.network import outline, parameter_table

    network = outline(member.model, schema, member.preprocess.size)
    parts = dict(parameter_table(network))
    return {
        "backbone": member.model.backbone,
        "head": member.model.head,
        "image_size": member.preprocess.size,
        "views": member.test_time.summary(member.preprocess),
        "parameters": sum(parts.values()),
        "backbone_parameters": parts["backbone"],
        "parts": parts,
    }
