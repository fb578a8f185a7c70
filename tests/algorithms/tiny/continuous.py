"""Labels that follow a rule, and the tiny Llama both as reward model and as policy."""

from shared.algorithms.contract import Dataset
from tests.algorithms_language import tiny

PARAMETERS: dict[str, object] = {
    "reward_base_model": str(tiny.LLAMA),
    "base_model": str(tiny.LLAMA),
    "buffer": 20,
    "new_samples": 12,
    "reward_epochs": 1,
    "updates": 1,
    "response_length": 4,
}


def dataset() -> Dataset:
    """Sixteen labels."""
    return Dataset("assistant", {"feedback": tiny.feedback(16)}, (tiny.SOURCE,))
