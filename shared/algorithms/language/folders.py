"""Where language models lie: folders of this machine, never a hub."""

import hashlib
import os
from pathlib import Path

from shared.algorithms.contract import NotTrainable

#: Names the folder that holds models by name, beside what is named by its path.
VARIABLE = "STREAMWHEEL_MODELS"
_CHUNK = 1 << 20


class MissingModel(NotTrainable):
    """A model's folder, or a file in it, is not there."""


def model_folder(name: str, field: str = "base_model") -> Path:
    """Find a model by path, or by name under STREAMWHEEL_MODELS.

    Raises MissingModel naming `field` and where it was looked for, also where there are only pickled weights.
    """
    store = os.environ.get(VARIABLE)
    places = [Path(name), *([Path(store) / name] if store else [])]
    for place in places:
        if place.is_dir():
            return _checked(place, field)
    looked = " and ".join(str(place.absolute()) for place in places)
    raise MissingModel(
        f"{field}: there is no folder {looked}. Nothing is downloaded while training: put the model's files"
        " (config.json, tokenizer.json, *.safetensors) there, or name its folder, or the one above it in"
        f" {VARIABLE}"
    )


def weights_digest(folder: Path) -> str:
    """sha256 over the weights' files in the order of their names: which model it is, wherever it lies."""
    found = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as weights:
            while chunk := weights.read(_CHUNK):
                found.update(chunk)
    return found.hexdigest()


def _checked(folder: Path, field: str) -> Path:
    if not (folder / "config.json").is_file():
        raise MissingModel(f"{field}: {folder} has no config.json")
    if not any(folder.glob("*.safetensors")):
        raise MissingModel(f"{field}: {folder} has no *.safetensors; pickled weights are not read")
    return folder
