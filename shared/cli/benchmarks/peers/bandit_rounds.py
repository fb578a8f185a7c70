"""The rounds that every library of the regret benchmark plays. Imports numpy and the standard library only.

A library's program is called `python PROGRAM FOLDER DELAY`; FOLDER holds DATASET.features.npy (shuffles, n,
d) and DATASET.classes.npy (shuffles, n). It prints one JSON object: {dataset: {setting: mean reward}}.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np


class Player(Protocol):
    """A bandit library at one setting. Contexts are what `contexts` made of the rows."""

    def contexts(self, features: np.ndarray) -> list[Any]:
        """All rows (n, d) in the library's own form."""

    def choose(self, contexts: list[Any]) -> list[int]:
        """An action for each context, in order."""

    def learn(self, contexts: list[Any], actions: list[int], rewards: list[float]) -> None:
        """Rewards of earlier choices, in order."""


Settings = Mapping[str, Callable[[int], Player]]
"""Name of a setting → number of actions → a new player."""
Blocks = Callable[[str, int], int]
"""Setting and delay → rounds played between two times of learning."""


def every_round(setting: str, delay: int) -> int:
    """Learn before every round."""
    return 1


def play(player: Player, features: np.ndarray, classes: np.ndarray, delay: int, block: int = 1) -> float:
    """Return the mean reward of one pass, reward 1 for the right class.

    Before each block of rounds, rewards are learnt that are `delay` rounds old at its first round, or older.
    """
    contexts = player.contexts(features)
    waiting: deque[tuple[Any, int, float]] = deque()
    total = 0.0
    for start in range(0, len(classes), block):
        ready = [waiting.popleft() for _ in range(len(waiting) - delay)]
        if ready:
            player.learn(*(list(column) for column in zip(*ready, strict=True)))
        part = contexts[start : start + block]
        actions = player.choose(part)
        rewards = [float(a == c) for a, c in zip(actions, classes[start : start + block], strict=True)]
        total += sum(rewards)
        waiting.extend(zip(part, actions, rewards, strict=True))
    return total / len(classes)


def datasets(folder: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, features (shuffles, n, d) and classes (shuffles, n) of each."""
    for file in sorted(folder.glob("*.features.npy")):
        name = file.name.removesuffix(".features.npy")
        yield name, np.load(file), np.load(folder / f"{name}.classes.npy")


def main(settings: Settings, blocks: Blocks = every_round, *, lenient: bool = True) -> None:
    """Play every setting on every data set and print the means over the shuffles.

    Where blocks are longer than a round, lenient lets their last round, not their first, keep the delay: what
    is learnt is then never older than asked for, at times younger.
    """
    folder, delay = Path(sys.argv[1]), int(sys.argv[2])
    found: dict[str, dict[str, float]] = {}
    for name, features, classes in datasets(folder):
        for setting, create in settings.items():
            block = blocks(setting, delay)
            kept = max(0, delay - block + 1) if lenient else delay
            means = [
                play(create(int(labels.max()) + 1), rows, labels, kept, block)
                for rows, labels in zip(features, classes, strict=True)
            ]
            found.setdefault(name, {})[setting] = float(np.mean(means))
            sys.stderr.write(f"{name}, delay {delay}, {setting}: {np.mean(means):.4f}\n")
    sys.stdout.write(json.dumps(found) + "\n")
