"""The settings of an application, as its YAML file holds them."""

from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from shared.applications.durations import Duration, parse
from shared.core.estimators.limits import Limits
from shared.core.experiments.assignment import Experiment
from shared.core.policies.configuration import PolicyConfiguration

Aggregation = Literal["sum", "mean", "min", "max", "first", "last"]
Emission = Literal["on_close", "on_interaction"]

#: The most actions, features and values of one category: bounds of a record, not of a good model.
MOST_ACTIONS, MOST_FEATURES, MOST_VALUES = 10_000, 10_000, 1_000


#: What a file may set of `PolicyConfiguration`; the half-life is written as a duration.
_HYPER_PARAMETERS = tuple(field.name for field in fields(PolicyConfiguration) if field.name != "half_life_s")


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("float_type", "Input should be a valid number")
    return value


Number = Annotated[float, BeforeValidator(_no_boolean), Field(allow_inf_nan=False)]
Name = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", max_length=100)]
Text = Annotated[str, Field(strict=True, min_length=1, max_length=100)]


def _refuse_unknown(given: dict[Any, Any], allowed: tuple[str, ...], more: tuple[str, ...] = ()) -> None:
    for key in given:
        if key not in allowed:
            raise _refuse(str(key), f"unknown key, allowed are {', '.join(more + allowed)}")


class Section(BaseModel):
    """A part of the file: unknown keys are refused by name, nothing can be changed after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            _refuse_unknown(data, tuple(cls.model_fields))
        return data


def _refuse(key: str, message: str) -> PydanticCustomError:
    """An error of a model's validator that belongs to one of its keys."""
    return PydanticCustomError("invalid", "{message}", {"key": key, "message": message})


def _seconds(key: str, duration: object) -> float:
    try:
        return parse(duration).total_seconds()
    except PydanticCustomError as error:
        raise _refuse(key, error.message()) from error


def _distinct(key: str, names: list[str]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise _refuse(key, f"{', '.join(twice)}: given more than once")


def _is_cron(text: str) -> bool:
    from croniter import croniter  # it takes as long to import as all the rest, and few settings need it

    return len(text.split()) == 5 and bool(croniter.is_valid(text))


class NumericFeature(Section):
    """A number: (x - mean) / scale. Refused where it is absent, unless there is a default."""

    name: Name
    type: Literal["numeric"] = "numeric"
    mean: Number = 0.0
    scale: Annotated[Number, Field(gt=0)] = 1.0
    default: Number | None = None


class CategoricalFeature(Section):
    """One of `values`, one-hot in their order. Refused where it is absent, unless there is a default."""

    name: Name
    type: Literal["categorical"]
    values: Annotated[tuple[Text, ...], Field(min_length=1, max_length=MOST_VALUES)]
    default: Text | None = None

    @model_validator(mode="after")
    def _check(self) -> "CategoricalFeature":
        _distinct("values", list(self.values))
        if self.default is not None and self.default not in self.values:
            raise _refuse("default", f"{self.default!r} is not one of values")
        return self


Feature = Annotated[NumericFeature | CategoricalFeature, Field(discriminator="type")]


class DynamicActions(Section):
    """Each request brings its own actions, each with these numeric features."""

    features: Annotated[tuple[NumericFeature, ...], Field(min_length=1, max_length=MOST_FEATURES)]

    @model_validator(mode="after")
    def _check(self) -> "DynamicActions":
        _distinct("features", [feature.name for feature in self.features])
        return self


def _kind_of_actions(value: object) -> str:
    return "features of actions" if isinstance(value, dict | DynamicActions) else "list of actions"


Actions = Annotated[
    Annotated[tuple[Text, ...], Field(min_length=1, max_length=MOST_ACTIONS), Tag("list of actions")]
    | Annotated[DynamicActions, Tag("features of actions")],
    Discriminator(_kind_of_actions),
]


class RewardSettings(Section):
    """How interactions become one number, and how long they are waited for.

    A decision appended at t counts interactions appended in [t - early_grace, t + wait]; later ones up to
    t + wait + hold correct the reward.
    """

    aggregation: Aggregation = "sum"
    default: Number = 0.0
    wait: Duration = parse("10m")
    early_grace: Duration = parse("5s")
    hold: Duration = parse("1m")
    emission: Emission = "on_close"
    clip: tuple[Number, Number] | None = None

    @model_validator(mode="after")
    def _check(self) -> "RewardSettings":
        if not self.wait:
            raise _refuse("wait", "must be above 0")
        if self.clip is not None:
            low, high = self.clip
            if low >= high:
                raise _refuse("clip", f"[{low:g}, {high:g}]: the first must be below the second")
            if not low <= self.default <= high:
                raise _refuse("default", f"{self.default:g} is outside clip [{low:g}, {high:g}]")
        return self


class PolicySettings(Section):
    """Which policy decides, with which hyper-parameters: in the file, they stand beside `name` and `kind`."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: Name = "default"
    half_life: Duration | None = None
    configuration: PolicyConfiguration = PolicyConfiguration()

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "configuration" in data:
            return data
        chosen = {key: value for key, value in data.items() if key not in ("name", "half_life")}
        _refuse_unknown(chosen, _HYPER_PARAMETERS, ("name", "half_life"))
        own = {key: data[key] for key in ("name", "half_life") if key in data}
        if own.get("half_life") is not None:
            chosen["half_life_s"] = _seconds("half_life", own["half_life"])
        return {**own, "configuration": chosen}


class DriftSettings(Section):
    """When the rewards of an application have changed so much that its policy is trained anew."""

    kind: Literal["adwin", "page_hinkley"] = "adwin"
    block: Annotated[int, Field(ge=1)] = 100
    """Rewards that are averaged into one observation."""
    delta: Annotated[Number, Field(gt=0, lt=1)] = 0.002
    """ADWIN: probability of a false alarm. Page-Hinkley: change of the mean that is tolerated."""
    threshold: Annotated[Number, Field(gt=0)] = 5.0
    """Page-Hinkley: sum of deviations that is an alarm."""


#: All rewards, or those alone that interactions gave.
Counted = Literal["rewards", "feedback"]


class TrainingSettings(Section):
    """How the trainer service trains this application, and when it does so by itself."""

    algorithm: Name | None = None
    """None: the one that is usual for the application."""
    preset: Name = "default"
    parameters: dict[str, Any] = {}
    """Hyper-parameters that differ from the preset."""
    window: Duration | None = None
    """Decisions older than this are not trained on; None: all that is archived."""
    incremental: bool = False
    """Go on from the last candidate, with the rewards that it has not seen."""
    every: Annotated[int, Field(ge=1)] | None = None
    """Train after so many new samples."""
    counted: Counted = "rewards"
    """What a sample is."""
    pause: Duration | None = None
    """Least time between two requests by count, unless twice as many samples as needed are new."""
    buffer: Annotated[int, Field(ge=1)] | None = None
    """Only the newest so many samples are trained on, those that were trained on before among them."""
    export: tuple[Literal["f32", "f16", "q8_0", "q5_0", "q4_0", "q3_k_m", "q4_k_m", "q5_k_m"], ...] = ()
    """GGUF files that the trainer makes of each candidate that is a language model."""
    schedule: str | None = None
    """Train at these times, in cron's five fields, UTC."""
    drift: DriftSettings | None = None
    """Train when the rewards drift."""

    @model_validator(mode="after")
    def _check(self) -> "TrainingSettings":
        if self.schedule is not None and not _is_cron(self.schedule):
            raise _refuse("schedule", f"{self.schedule!r} has not cron's five fields, as in 0 1 * * 1")
        if self.pause is not None and self.every is None:
            raise _refuse("pause", "means nothing without every")
        if self.buffer is not None and self.every is not None and self.buffer < self.every:
            raise _refuse("buffer", f"{self.buffer} is below every, {self.every}")
        return self


class MeasureSettings(Section):
    """A number of each decision besides its reward, for guards: how often, or how much.

    Without an attribute it is 1 where an interaction of these types counts and 0 where none does: its mean is
    a rate. With one it is the attribute's largest number among them, and nothing where there is none.
    """

    name: Name
    types: Annotated[tuple[Text, ...], Field(min_length=1, max_length=MOST_VALUES)]
    attribute: Name | None = None
    """`value` is the interaction's value, any other name an attribute of it."""


class GuardSettings(Section):
    """A metric that must not suffer: the reward, one of its components, or a measure.

    Evaluations and stages compare it with the baseline's; `at_least` and `at_most` are limits whatever the
    baseline does.
    """

    metric: Name
    higher_is_better: bool = True
    tolerance: Annotated[Number, Field(ge=0)] = 0.0
    """How much worse than the baseline passes, as a share of the baseline's absolute value."""
    at_least: Number | None = None
    """A mean below it, over `samples` rewards or more, is a breach at once."""
    at_most: Number | None = None
    """A mean above it, likewise."""
    quantile: Annotated[Number, Field(gt=0, lt=1)] | None = None
    """Which quantile `at_most` is for, instead of the mean: .95 allows 5 % of decisions to be above."""
    samples: Annotated[int, Field(ge=1)] = 20

    @model_validator(mode="after")
    def _check(self) -> "GuardSettings":
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise _refuse("at_most", f"{self.at_most:g} is below at_least, {self.at_least:g}")
        if self.quantile is not None and (self.at_most is None or self.at_least is not None):
            raise _refuse("quantile", "is of at_most, which must be given, and without at_least")
        return self


class StageSettings(Section):
    """One step of a rollout."""

    name: Text
    share: Annotated[Number, Field(ge=0, le=1)]
    """Of subjects that get the candidate; 0 is shadow: it decides, and nobody sees it."""
    bake: Duration = parse("6h")
    """Least time before the next stage."""
    samples: Annotated[int, Field(ge=0)] = 500
    """Least closed rewards of each arm before the next stage."""


class DegradationSettings(Section):
    """When people are told that what is stable earns less than when it became stable."""

    tolerance: Annotated[Number, Field(ge=0)] = 0.1
    """How much less passes, as a share of the absolute value of what it earned."""
    window: Duration = parse("1d")
    """Rewards of decisions of so long are compared with those of the first window."""
    samples: Annotated[int, Field(ge=30)] = 500
    """Closed rewards without which a window says nothing; one that has fewer goes on."""


class RolloutSettings(Section):
    """How a candidate that has passed its evaluation reaches users, and what takes it back."""

    automatic: bool = True
    """False: a candidate that passed waits for `streamwheel rollout promote`."""
    stages: Annotated[tuple[StageSettings, ...], Field(max_length=20)] = ()
    """Empty: shadow, 10 %, 50 %, 100 % and a day of watching."""
    longest: Duration = parse("14d")
    """Age at which a rollout that has not become stable is given up."""
    supersede: bool = False
    """Whether a newer candidate ends the running rollout instead of waiting for it."""
    breach_blocks: Duration | None = None
    """How long a candidate that breached a guard stays blacklisted; None is for ever."""
    alpha: Annotated[Number, Field(gt=0, lt=1)] = 0.05
    """Chance, over all looks together, that a guard is broken by a candidate that harms nothing."""
    degradation: DegradationSettings | None = None
    """None: nobody is told."""

    @model_validator(mode="after")
    def _check(self) -> "RolloutSettings":
        _distinct("stages", [stage.name for stage in self.stages])
        shares = [stage.share for stage in self.stages]
        if shares and (shares != sorted(shares) or shares[-1] != 1):
            raise _refuse("stages", "must have shares that never fall, and end at 1")
        return self


class EvaluationSettings(Section):
    """What is asked of a candidate before a rollout. Limits are those of `shared.core.estimators`."""

    alpha: Annotated[Number, Field(gt=0, lt=1)] = 0.05
    """1 - level of every interval."""
    baseline: Number | None = None
    """A mean reward to beat; None: what the policies that logged earned."""
    least_reward: Number | None = None
    """A candidate whose estimated mean reward is below this fails."""
    least_decisions: Annotated[int, Field(ge=1)] = 100
    """Logged decisions without which there is no verdict."""
    limits: dict[str, Number] = {}
    """Limits of refusals that differ from the defaults, by name."""
    bandwidth: Annotated[Number, Field(gt=0)] | None = None
    """Of the kernel around a candidate's vector, in standard deviations of logged ones; None: the rule of
    `shared.core.estimators.continuous`."""

    @model_validator(mode="after")
    def _check(self) -> "EvaluationSettings":
        allowed = [field.name for field in fields(Limits)]
        for name in self.limits:
            if name not in allowed:
                raise _refuse("limits", f"{name}: unknown, allowed are {', '.join(allowed)}")
        return self


class ExperimentSettings(Section):
    """A test of variants, which are actions of the list: part of the subjects keep one, by a hash of them."""

    name: Name
    """Of another name, another assignment."""
    shares: Annotated[dict[Text, Annotated[Number, Field(gt=0, le=1)]], Field(min_length=2, max_length=100)]
    """Variant → its part of the test's subjects."""
    control: Text
    """The variant that the others are compared with."""
    subjects: Annotated[Number, Field(ge=0, le=1)] = 0.1
    """Share of all subjects that are in the test; policies decide for the others."""
    alpha: Annotated[Number, Field(gt=0, lt=1)] = 0.05
    """Chance that any variant is ever called better or worse than a control that is its equal."""
    tuned_at: Annotated[int, Field(ge=1)] = 4000
    """Decisions of two variants together at which the test is sharpest."""

    @model_validator(mode="after")
    def _check(self) -> "ExperimentSettings":
        try:
            Experiment(self.name, self.shares, self.subjects, self.control)
        except ValueError as error:
            raise _refuse("shares", str(error)) from error
        return self


class ApplicationSettings(Section):
    """One application."""

    application: Annotated[str, Field(strict=True, pattern=r"^[a-z][a-z0-9_-]*$", max_length=63)]
    features: Annotated[tuple[Feature, ...], Field(max_length=MOST_FEATURES)] = ()
    attributes: tuple[Name, ...] = ()
    actions: Actions
    reward: RewardSettings = RewardSettings()
    policy: PolicySettings = PolicySettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    rollout: RolloutSettings = RolloutSettings()
    measures: Annotated[tuple[MeasureSettings, ...], Field(max_length=100)] = ()
    """Components of every reward, beside those of the reward function."""
    guards: tuple[GuardSettings, ...] = ()
    """Beside the reward, which always is one."""
    experiment: ExperimentSettings | None = None

    @model_validator(mode="after")
    def _check(self) -> "ApplicationSettings":
        _distinct("guards", [guard.metric for guard in self.guards])
        _distinct("measures", [measure.name for measure in self.measures])
        if self.measures and self.reward.emission != "on_close":
            # A reward is revised when its number changes, which an error or a delay need not do.
            raise _refuse("measures", "need reward.emission to be on_close, so that none is missed")
        names = [feature.name for feature in self.features]
        _distinct("features", names)
        _distinct("attributes", names + list(self.attributes))
        listed = list(self.actions) if isinstance(self.actions, tuple) else []
        _distinct("actions", listed)
        if self.experiment is not None and (strange := self.experiment.shares.keys() - set(listed)):
            raise _refuse("experiment", f"shares: {', '.join(sorted(strange))}: not in the list of actions")
        return self
