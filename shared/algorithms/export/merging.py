"""The whole model of a candidate: its own weights, or its adapter merged into the base it was trained on."""

import json
from pathlib import Path

from peft import PeftModel

from shared.algorithms.artefacts import Artefact
from shared.algorithms.export.errors import NotExportable
from shared.algorithms.language import models
from shared.algorithms.language.folders import model_folder, weights_digest
from shared.algorithms.language.training import save

ADAPTER = "adapter_model.safetensors"
BASE = "base.json"


def whole_model(artefact: Artefact, base: str | None, scratch: Path) -> Path:
    """Folder of the model in the layout of transformers, under `scratch` if it had to be merged.

    `base` names the base model's folder if it moved. Raises MissingModel; NotExportable if the base is not
    the one that was adapted, or the candidate is no language model.
    """
    files = artefact.manifest.files
    if ADAPTER in files:
        return _merged(artefact, base, scratch)
    if {"config.json", "tokenizer.json"} <= files.keys() and any(
        name.endswith(".safetensors") for name in files
    ):
        return artefact.folder
    raise NotExportable(
        f"{artefact.folder}: a candidate of {artefact.manifest.algorithm} is no language model"
    )


def _merged(artefact: Artefact, base: str | None, scratch: Path) -> Path:
    stated = json.loads(artefact.file(BASE).read_text())
    folder = model_folder(base or stated["base_model"], "base")
    if (found := weights_digest(folder)) != stated["weights_sha256"]:
        raise NotExportable(
            f"base: {folder} holds other weights ({found[:12]}…) than those that were adapted"
            f" ({stated['weights_sha256'][:12]}…)"
        )
    adapted = PeftModel.from_pretrained(models.causal(folder), str(artefact.folder))
    target = scratch / "merged"
    save(adapted.merge_and_unload(), models.tokenizer(folder), target)
    return target
