"""Calls whose outcomes depend on the prompt's slots, by effects that are known."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import numpy as np

from shared.applications.simulation import OneStep, Situation, Told
from shared.applications.voice_assistant.reward import (
    DISTURBED,
    RATED,
    RESOLVED,
    duration_bonus,
)
from shared.applications.voice_assistant.signals import Profile
from shared.applications.voice_assistant.variants import Slots, Variants, read_variants

PROFILES: tuple[str, ...] = get_args(Profile)
MIDDLE, SLOT_RANGE, PROFILE_RANGE = 0.5, (0.08, 0.16), 0.06
"""Quality in the middle; from the worst to the best value of a slot; furthest that a profile moves it. All
slots together move it by .4 at most, so it stays within 0 and 1."""
MOST_COUNT = 3
"""Barge-ins, and repeats, of a call: where the reward stops counting them."""
DURATIONS_S = (60.0, 120.0, 180.0, 240.0, 330.0, 600.0)
"""Each as likely as the others."""
DAYS = 28
"""Over which `events` are spread."""


class VoiceSimulator(OneStep):
    """A call has a quality q in (0, 1), a sum of effects of its slots and its profile.

    Resolved with probability q, rated 1 + Binomial(4, q), Binomial(3, 1 - q) barge-ins and repeats, handed
    over with probability 1 - q; the duration does not depend on it. So the mean reward is linear in q.
    """

    application = "voice_assistant"

    def __init__(self, variants: Variants, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.variants = variants
        self.actions = list(variants.variants)
        self.situations = [Situation("", {"profile": name}, n) for n, name in enumerate(PROFILES)]
        self.effects = {slot: _effects(values, random) for slot, values in variants.slots.items()}
        shifts = random.uniform(-PROFILE_RANGE, PROFILE_RANGE, len(PROFILES))
        self.profiles: dict[str, float] = dict(zip(PROFILES, shifts.tolist(), strict=True))

    def quality(self, slots: Slots, profile: str) -> float:
        """q of a call with any combination of slots."""
        return MIDDLE + self.profiles[profile] + sum(self.effects[slot][v] for slot, v in slots.items())

    def reward_of(self, slots: Slots, profile: str | None = None) -> float:
        """Mean reward of a combination; over all profiles if none is given."""
        if profile is None:
            return float(np.mean([self.reward_of(slots, each) for each in PROFILES]))
        q = self.quality(slots, profile)
        lasted = float(duration_bonus(np.array(DURATIONS_S)).mean())
        return RESOLVED * q + RATED * (4 * q - 2) / 2 - 3 * DISTURBED * (1 - q) + lasted

    def best(self) -> Slots:
        """The combination of the highest mean reward."""
        return max(self.variants.grid(), key=self.reward_of)

    def expected_reward(self, situation: Situation, action: str) -> float:
        """Mean reward of a variant for a profile."""
        return self.reward_of(self.variants.of(action), situation.context["profile"])

    def interactions(self, situation: Situation, action: str, random: np.random.Generator) -> list[Told]:
        """One record of feedback."""
        signals = self.signals(self.variants.of(action), situation.context["profile"], random)
        return [{"type": "feedback", "attributes": signals}]

    def signals(self, slots: Slots, profile: str, random: np.random.Generator) -> dict[str, Any]:
        """The signals of one call."""
        q = self.quality(slots, profile)
        return {
            "resolution": bool(random.random() < q),
            "user_rating": 1 + int(random.binomial(4, q)),
            "barge_in_count": int(random.binomial(MOST_COUNT, 1 - q)),
            "repeats": int(random.binomial(MOST_COUNT, 1 - q)),
            "handover": bool(random.random() < 1 - q),
            "duration_sec": float(random.choice(DURATIONS_S)),
            "escalation": bool(random.random() < (1 - q) / 2),
        }

    def events(
        self,
        n: int,
        random: np.random.Generator,
        start: datetime = datetime(2026, 1, 1, tzinfo=UTC),
        used: Mapping[str, Slots] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """n lines of feedback in order of time, each of any of the variants `used`, all if not given."""
        variants = dict(used or self.variants.variants)
        names = list(variants)
        for number in range(n):
            name, profile = str(random.choice(names)), str(random.choice(PROFILES))
            moment = start + timedelta(days=DAYS) * (number / n)
            yield {
                "call_id": f"call-{number}",
                "ts": moment.isoformat(),
                "agent": "TOM",
                "profile": profile,
                "policy_variant": name,
                "signals": self.signals(variants[name], profile, random),
            }


def _effects(values: Sequence[str], random: np.random.Generator) -> dict[str, float]:
    """Evenly spaced around 0, in random order."""
    width = random.uniform(*SLOT_RANGE)
    levels = random.permutation(np.linspace(-width / 2, width / 2, len(values)))
    return dict(zip(values, levels.tolist(), strict=True))


def simulator(seed: int) -> VoiceSimulator:
    """Calls about the variants of variants.yaml."""
    return VoiceSimulator(read_variants(), seed)
