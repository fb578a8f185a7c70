"""Questions to a dashboard whose users like some widgets better than others, by chances that are known."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from shared.applications.dashboard_widgets.prompts import SCENARIOS
from shared.applications.simulation import OneStep, Situation, Told

LIKED, TOLERATED, DISLIKED = 0.9, 0.5, 0.1
"""Probability of a thumbs up for a scenario that is right for the purpose, that passes, and any other."""
GOOD_FIXTURE = 0.9
"""Of the fixtures of a domain, the first is good; others are liked so much less often: 1 - this."""
SIZES = ("small", "medium", "large")
FIXTURES = ("overview", "detail", "history")
DOMAINS = ("sales", "production", "energy", "support")


@dataclass(frozen=True)
class Purpose:
    """What is asked for: words of the question, scenarios that are right, and some that pass."""

    name: str
    question: str
    right: tuple[str, ...]
    passing: tuple[str, ...]


PURPOSES = (
    Purpose("course", "How did {domain} develop over the last months?", ("trend", "timeline"), ("chart",)),
    Purpose("contrast", "Compare {domain} between the regions.", ("comparison", "bar"), ("table", "heatmap")),
    Purpose("figure", "What is the total of {domain} right now?", ("kpi",), ("gauge", "indicator")),
    Purpose("parts", "What share of {domain} has each category?", ("pie", "donut"), ("bar",)),
    Purpose("trouble", "Is anything wrong with {domain} today?", ("alert", "status"), ("list",)),
    Purpose("places", "Where in the country is {domain} strongest?", ("map",), ("heatmap",)),
)


class WidgetSimulator(OneStep):
    """A question has a purpose and a domain; whether a scenario is liked depends on the purpose.

    The seed decides which of a purpose's scenarios that pass are right instead, so that truths differ.
    """

    application = "dashboard_widgets"

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.actions = list(SCENARIOS)
        self.chances = np.full((len(PURPOSES), len(SCENARIOS)), DISLIKED)
        for n, purpose in enumerate(PURPOSES):
            known = random.permutation([*purpose.right, *purpose.passing]).tolist()
            for place, scenario in enumerate(known):
                right = place < len(purpose.right)
                self.chances[n, SCENARIOS.index(scenario)] = LIKED if right else TOLERATED
        self.situations = [_situation(n, domain) for n, domain in product(range(len(PURPOSES)), DOMAINS)]

    def chance(self, situation: Situation, scenario: str) -> float:
        """Probability of a thumbs up."""
        return float(self.chances[situation.truth, SCENARIOS.index(scenario)])

    def expected_reward(self, situation: Situation, action: str) -> float:
        """Mean reward of a scenario."""
        return 2 * self.chance(situation, action) - 1

    def interactions(self, situation: Situation, action: str, random: np.random.Generator) -> list[Told]:
        """A rating."""
        liked = random.random() < self.chance(situation, action)
        return [{"type": "rating", "attributes": {"rating": "up" if liked else "down"}}]

    def shown(
        self, questions: int, widgets: int, random: np.random.Generator
    ) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Lines of entries with their ratings: so many questions, each answered by so many widgets.

        A widget is liked if its scenario is, and if its fixture is.
        """
        for number in range(questions):
            situation = self.start(random)
            for place in range(widgets):
                scenario, fixture = str(random.choice(SCENARIOS)), str(random.choice(FIXTURES))
                good = GOOD_FIXTURE if fixture == FIXTURES[0] else 1 - GOOD_FIXTURE
                liked = random.random() < self.chance(situation, scenario) and random.random() < good
                entry_id = f"entry-{number}-{place}"
                entry = _entry(situation, f"question-{number}", scenario, fixture)
                entry["size"] = str(random.choice(SIZES))
                yield (
                    {"entry_id": entry_id, **entry},
                    {
                        "entry_id": entry_id,
                        "rating": "up" if liked else "down",
                    },
                )


def _situation(purpose: int, domain: str) -> Situation:
    context = {
        "question_id": f"{PURPOSES[purpose].name}-{domain}",
        "question": PURPOSES[purpose].question.format(domain=domain),
        "domains": [domain],
        "entities": {"metric": domain, "purpose": PURPOSES[purpose].name},
    }
    return Situation("", context, purpose)


def _entry(situation: Situation, question_id: str, scenario: str, fixture: str) -> dict[str, Any]:
    context = situation.context
    [domain] = context["domains"]
    return {
        "question_id": question_id,
        "question": context["question"],
        "scenario": scenario,
        "fixture": f"{domain}-{fixture}",
        "description": f"{fixture} of {domain}",
        "pipeline_meta": {"intent": {name: context[name] for name in ("domains", "entities")}},
    }


def simulator(seed: int) -> WidgetSimulator:
    """Questions about the four domains."""
    return WidgetSimulator(seed)
