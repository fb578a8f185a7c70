"""What every trl trainer here is run with: arguments, progress, a seed, and nothing on stdout."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers

from shared.algorithms.contract import Progress


def arguments(seed: int, folder: str, **more: Any) -> dict[str, Any]:
    """Arguments of a trl configuration: nothing is logged, saved or sent; equal seeds, equal weights."""
    accelerated = torch.cuda.is_available()
    common = {
        "output_dir": folder,
        "seed": seed,
        "data_seed": seed,
        "full_determinism": accelerated,
        "use_cpu": not accelerated,
        "bf16": accelerated and torch.cuda.is_bf16_supported(),
        "report_to": [],
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "dataloader_pin_memory": accelerated,
    }
    return common | more


class Reporting(transformers.TrainerCallback):  # type: ignore[misc]
    """Tells `progress` of each step, within [start, end] of the whole."""

    def __init__(self, progress: Progress, what: str, start: float = 0.0, end: float = 1.0) -> None:
        self.progress, self.what, self.start, self.end = progress, what, start, end

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Report the share of steps done."""
        share = state.global_step / max(1, state.max_steps)
        self.progress(
            self.start + (self.end - self.start) * share,
            f"{self.what}, step {state.global_step} of {state.max_steps}",
        )


@contextlib.contextmanager
def workspace(seed: int) -> Iterator[str]:
    """Seed every generator, send what libraries print to stderr, and give a folder for the time being."""
    transformers.set_seed(seed)
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        yield folder


def save(model: Any, tokenizer: Any, out: Path) -> None:
    """Write weights as safetensors, configuration and tokeniser into `out`, in plain float32."""
    model.save_pretrained(str(out), safe_serialization=True)
    tokenizer.save_pretrained(str(out))
