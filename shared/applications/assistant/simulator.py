"""Users of a chat assistant whose variants answer some topics better than others, by known chances."""

import numpy as np

from shared.applications.assistant.sampling import Variants, read_variants
from shared.applications.simulation import OneStep, Situation, Told

TOPICS = {
    "cooking": ("How long do I boil an egg?", "What goes into a soup?", "How do I bake bread?"),
    "travel": ("Which train goes to the sea?", "Where do I stay in Rome?", "What do I pack for snow?"),
    "numbers": ("What is 17 times 23?", "How many days has a leap year?", "Is 91 a prime number?"),
}
WORST, BEST = 0.2, 0.9
"""Probability of a thumbs up for the variant that answers a topic worst, and best; others lie between."""


class AssistantSimulator(OneStep):
    """Each query is answered and judged by a thumb, for certain."""

    application = "assistant"

    def __init__(self, variants: Variants, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.actions = list(variants.variants)
        levels = np.linspace(WORST, BEST, len(self.actions))
        self.chances = np.array([random.permutation(levels) for _ in TOPICS])
        self.situations = [
            Situation("", {"query": query}, topic)
            for topic, queries in enumerate(TOPICS.values())
            for query in queries
        ]

    def expected_reward(self, situation: Situation, action: str) -> float:
        """Mean reward of a variant's answer."""
        return float(2 * self.chances[situation.truth, self.actions.index(action)] - 1)

    def interactions(self, situation: Situation, action: str, random: np.random.Generator) -> list[Told]:
        """A thumb."""
        pleased = random.random() < self.chances[situation.truth, self.actions.index(action)]
        query = situation.context["query"]
        texts = {"query": query, "response": f"{action} answers: {query}"}
        return [{"type": "thumbs_up" if pleased else "thumbs_down", "attributes": texts}]


def simulator(seed: int) -> AssistantSimulator:
    """The variants of variants.yaml."""
    return AssistantSimulator(read_variants(), seed)
