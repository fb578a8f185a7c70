"""An older version of decisions, made up, with a directory of schemas that knows it."""

import json
import shutil
from pathlib import Path

from shared.wire.schemas import DIRECTORY, Schema, load, schema
from tests.wire.samples import without_fields


def versions(directory: Path) -> tuple[Schema, Schema]:
    """Decisions before they had an arm and a share, and the current ones that know of that version."""
    old = without_fields(schema("decisions").definition, "arm", "share")
    past = directory / "past"
    past.mkdir()
    (past / "decisions.avsc").write_text(json.dumps(old))
    shutil.copytree(DIRECTORY, directory / "present")
    shutil.copy(past / "decisions.avsc", directory / "present" / "history" / "decisions.v0.avsc")
    return load(past, "decisions"), load(directory / "present", "decisions")
