"""Write down the schema that labels spell out, so that it can be read, corrected and kept."""

from pathlib import Path

import yaml

from gingham.data.formats import infer_schema
from gingham.schema import AttributeSchema
from gingham.storage import write_json, write_text

__all__ = ["infer_schema", "write_schema"]


def write_schema(schema: AttributeSchema, path: Path) -> None:
    """Write a schema in order, as YAML or for `.json` as JSON; `AttributeSchema.from_file` reads the same one back.

    Raises:
        MachineError: the file cannot be written.
    """
    if path.suffix.lower() == ".json":
        write_json(path, schema.to_plain())
        return
    # `default_flow_style=None` keeps one attribute on one line: `sleeve: [long, short]`.
    text = yaml.safe_dump(schema.to_plain(), sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    write_text(path, text)
