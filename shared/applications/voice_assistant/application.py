"""The voice assistant under the contract of all applications."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from shared.applications.attributes import attribute
from shared.applications.coded import CodedApplication
from shared.applications.contract import Attribute, Indices, Rewards
from shared.applications.files import SettingsError, read
from shared.applications.reading import one_of, validated
from shared.applications.settings import ApplicationSettings
from shared.applications.voice_assistant import reward
from shared.applications.voice_assistant.guard import VariantGuard
from shared.applications.voice_assistant.signals import (
    Call,
    Feedback,
    Signals,
    anonymous,
    hour,
    read_feedback,
)
from shared.applications.voice_assistant.variants import Slots, Variants, read_variants

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from shared.applications.voice_assistant.dashboards import PolicyMetrics, RewardMetrics

FEEDBACK = "feedback"
"""The type of interactions."""


class VoiceAssistant(CodedApplication):
    """Actions are variants of the prompt."""

    REWARD_CODE = 1

    def __init__(self, settings: ApplicationSettings, variants: Variants) -> None:
        super().__init__(settings)
        if strange := [name for name in self.actions if name not in variants.variants]:
            raise SettingsError(f"actions: {', '.join(strange)}: variants without slots")
        self.variants = variants
        self.guard = guard = VariantGuard(tuple(self.actions))
        if guard.settings.base not in self.actions:
            raise SettingsError(f"actions: {guard.settings.base}, the base variant, is not among them")

    def parameters(self, action: str) -> Slots:
        """The slots of a variant. Raises `FieldError`."""
        return self.variants.of(action)

    def attributes(self, context: Mapping[str, Any]) -> list[Attribute]:
        """Who answers, and the call's anonymous id and hour, where they are given."""
        given = {name: context[name] for name in self.settings.attributes if name in context}
        call = validated(Call, given, "context")
        found = {each.name: context.get(each.name) or each.default for each in self.settings.features}
        if call.call_id is not None:
            found["call"] = anonymous(call.call_id)
        if call.ts is not None:
            found["hour"] = hour(call.ts)
        return [attribute(name, value, f"context.{name}") for name, value in found.items()]

    def check_interaction(self, kind: str, value: float | None, attributes: Mapping[str, Any]) -> None:
        """Feedback with signals as attributes. Raises `FieldError`."""
        one_of(kind, [FEEDBACK])
        validated(Signals, attributes, "attributes")

    def evaluate(self, interactions: pl.DataFrame, owner: Indices, n: int) -> Rewards:
        """As `reward.evaluate`."""
        return reward.evaluate(interactions, owner, n)

    def reward_observer(self, registry: "CollectorRegistry") -> "RewardMetrics":
        """Feedback, rewards, ratings and pulls."""
        from shared.applications.voice_assistant.dashboards import RewardMetrics

        return RewardMetrics(registry, self.actions)

    def policy_observer(self, registry: "CollectorRegistry") -> "PolicyMetrics":
        """Success rates, exploration, active and blacklisted variants."""
        from shared.applications.voice_assistant.dashboards import PolicyMetrics

        return PolicyMetrics(registry, VariantGuard(tuple(self.actions)))

    def read_line(self, line: Mapping[str, Any]) -> list[dict[str, Any]]:
        """One interaction with the signals that are there. Raises `FieldError`."""
        read = read_feedback(line)
        prefix, signals = ("signals.", read.signals) if isinstance(read, Feedback) else ("", read)
        given = signals.model_dump(exclude_none=True)
        attributes = [attribute(name, value, prefix + name) for name, value in given.items()]
        return [{"type": FEEDBACK, "value": None, "attributes": attributes}]


def applications() -> Iterator[VoiceAssistant]:
    """The voice assistant as its files say."""
    yield VoiceAssistant(read(Path(__file__).parent / "settings.yaml"), read_variants())
