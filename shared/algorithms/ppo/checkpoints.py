"""State between two segments of a training, without pickles, replaced by one rename."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, load_model, save_file, save_model


@dataclass(frozen=True)
class Place:
    """Segments done, the coefficient that the next one starts with, and whether the divergence ran away."""

    segments: int
    coefficient: float
    ran_away: bool = False


class Checkpoints:
    """A folder with the last state; it is removed when the training is over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, place: Place, policy: Any, value: Any, optimizer: Any) -> None:
        """Replace the last state."""
        made = self.folder.with_name(self.folder.name + ".making")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        save_model(policy, str(made / "policy.safetensors"))
        save_model(value, str(made / "value.safetensors"))
        state = optimizer.state_dict()["state"]
        flat = {f"{i}.{name}": tensor for i, each in state.items() for name, tensor in each.items()}
        save_file(flat, made / "optimizer.safetensors")
        (made / "place.json").write_text(json.dumps(place.__dict__))
        shutil.rmtree(self.folder, ignore_errors=True)
        made.rename(self.folder)

    def load(self, policy: Any, value: Any, optimizer: Any) -> Place | None:
        """Restore all three in place; None if there is no state."""
        if not (self.folder / "place.json").is_file():
            return None
        load_model(policy, self.folder / "policy.safetensors")
        load_model(value, self.folder / "value.safetensors")
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in load_file(self.folder / "optimizer.safetensors").items():
            i, _, name = key.partition(".")
            state.setdefault(int(i), {})[name] = tensor
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
        return Place(**json.loads((self.folder / "place.json").read_text()))

    def remove(self) -> None:
        """Forget."""
        shutil.rmtree(self.folder, ignore_errors=True)
