"""Loading of models and tokenisers from folders, without a network and without pickles."""

import os
from pathlib import Path
from typing import Any

import torch
import transformers

from shared.algorithms.language.folders import MissingModel

#: What a scalar head adds to the weights of a model without one.
HEAD = ("score.", "classifier.", "pooler.")


def offline() -> None:
    """Keep every library of this process from asking a hub, and from drawing progress bars."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    transformers.utils.hub.constants.HF_HUB_OFFLINE = True
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def tokenizer(folder: Path) -> Any:
    """Load a tokeniser; without a token to pad with, its end of sequence serves. Raises MissingModel."""
    offline()
    try:
        found = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, ImportError) as error:
        raise MissingModel(f"{folder}: its tokeniser cannot be read: {error}") from error
    if found.eos_token is None and found.pad_token is None:
        raise MissingModel(f"{folder}: its tokeniser has neither an end of sequence nor a padding token")
    found.pad_token = found.pad_token or found.eos_token
    found.truncation_side = "left"
    return found


def causal(folder: Path) -> Any:
    """Load a model that writes. Raises MissingModel."""
    return _load(transformers.AutoModelForCausalLM, folder, ())


def scalar(folder: Path, pad_token_id: int, trained: bool = False) -> Any:
    """Load an encoder or causal model with one score for a text; its head is new unless `trained`.

    Raises MissingModel.
    """
    found = _load(
        transformers.AutoModelForSequenceClassification, folder, () if trained else HEAD, num_labels=1
    )
    found.config.pad_token_id = pad_token_id
    return found


def device() -> torch.device:
    """The accelerator if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _load(kind: Any, folder: Path, may_miss: tuple[str, ...], **options: Any) -> Any:
    offline()
    try:
        found, loaded = kind.from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise MissingModel(f"{folder}: cannot be loaded: {error}") from error
    if missing := sorted(name for name in loaded["missing_keys"] if not name.startswith(may_miss)):
        raise MissingModel(f"{folder}: its weights lack {', '.join(missing[:5])}")
    return found
