"""From the learners of all partitions to one model: merge, discount to a common time, solve."""

from collections.abc import Sequence

import numpy as np

from shared.core.arrays import Floats
from shared.core.features.maps import FeatureMap, feature_map, linear_count
from shared.core.features.scaling import Scaling
from shared.core.noise import normals
from shared.core.policies.configuration import PolicyConfiguration
from shared.core.policies.learner import Learner, fold
from shared.core.policies.model import Model, Signature
from shared.core.policies.rows import Rows
from shared.core.policies.statistics import Statistics


def solve(learners: Sequence[Learner], previous: Model | None = None) -> Model:
    """Return the model of all rows that these learners (one per partition, one or more) have learnt.

    The scaling is the one that any learner has; while none has, one fitted to all pending rows serves.
    Actions whose statistics are those of `previous` keep their coefficients and are not solved again.
    The learners must not learn meanwhile.
    """
    first = learners[0]
    policy, like, scaling = first.configuration, first.folded, _scaling(learners)
    mapped = feature_map(policy, first.width, first.action_width, scaling)
    parts = _parts(learners, mapped)
    reference, factors = _discounts(parts)
    rows = np.sum([part.rows for part in parts], axis=0)
    signature = Signature(rows, _weighted(parts, factors, "moment"), reference, scaling)
    coefficients = np.zeros((like.actions, like.size))
    part_size = _width_features(first)
    covariance = np.zeros((like.actions, part_size, part_size)) if part_size else None
    for action in range(like.actions):
        if previous is not None and _unchanged(previous, policy, signature, action):
            coefficients[action] = previous.coefficients[action]
            if covariance is not None and previous.covariance is not None:
                covariance[action] = previous.covariance[action]
            continue
        matrix = policy.ridge * np.eye(like.size)
        for part, factor in zip(parts, factors, strict=True):
            if part.rows[action]:
                matrix += part.curvature[action] if factor == 1.0 else factor * part.curvature[action]
        coefficients[action] = np.linalg.solve(matrix, signature.moment[action])
        if covariance is not None:
            covariance[action] = np.linalg.inv(matrix[:part_size, :part_size])
    count = _weighted(parts, factors, "count")
    return Model(
        configuration=policy,
        width=first.width,
        action_width=first.action_width,
        feature_map=mapped,
        coefficients=coefficients,
        covariance=covariance,
        count=count,
        samples=_samples(policy, first.action_width, coefficients, covariance, count, signature),
        signature=signature,
    )


def _scaling(learners: Sequence[Learner]) -> Scaling | None:
    for learner in learners:
        if learner.scaling is not None:
            return learner.scaling
    opened = [learner.open_rows for learner in learners]
    raw = np.concatenate([rows.contexts[rows.fresh.astype(bool)] for rows in opened])
    return Scaling.fit(raw) if len(raw) else None


def _width_features(learner: Learner) -> int:
    policy = learner.configuration
    if not policy.needs_curvature:
        return 0
    if policy.widths == "all":
        return learner.folded.size
    return linear_count(policy, learner.width, learner.action_width)


def _parts(learners: Sequence[Learner], mapped: FeatureMap | None) -> list[Statistics]:
    folded = [learner.folded for learner in learners]
    if mapped is None:
        return folded
    # Rows that the same resets apply to are folded together: once, not for each partition.
    alike: dict[bytes | None, list[Learner]] = {}
    for learner in learners:
        since = learner.folded.since_ms
        alike.setdefault(None if since is None else since.tobytes(), []).append(learner)
    rows = [Rows.concat([learner.open_rows for learner in group]) for group in alike.values()]
    return folded + [
        fold(mapped, each, group[0].folded)
        for each, group in zip(rows, alike.values(), strict=True)
        if len(each)
    ]


def _discounts(parts: Sequence[Statistics]) -> tuple[int, list[float]]:
    half_life, latest = parts[0].half_life_ms, max(part.latest_ms for part in parts)
    # Rounded up to 64ths of a half-life (1 %), so that actions without news need no solving meanwhile.
    reference = -(-64 * latest // half_life) if half_life else 0
    return reference, [part.factor(reference) for part in parts]


def _weighted(parts: Sequence[Statistics], factors: Sequence[float], name: str) -> Floats:
    total: Floats = np.sum([f * getattr(part, name) for part, f in zip(parts, factors, strict=True)], axis=0)
    return total


def _unchanged(previous: Model, policy: PolicyConfiguration, signature: Signature, action: int) -> bool:
    before = previous.signature
    return bool(
        previous.configuration == policy
        and before.moment.shape == signature.moment.shape
        and before.reference == signature.reference
        and before.rows[action] == signature.rows[action]
        and np.array_equal(before.moment[action], signature.moment[action])
        and before.scaling == signature.scaling
    )


def _samples(
    policy: PolicyConfiguration,
    action_width: int,
    coefficients: Floats,
    covariance: Floats | None,
    count: Floats,
    signature: Signature,
) -> Floats | None:
    key = policy.seed + (int(signature.rows.sum()) << 64)
    actions = len(coefficients)
    if policy.kind == "thompson_beta":
        low, span = policy.reward_low, policy.reward_high - policy.reward_low
        successes = np.clip((signature.moment[:, 0] - low * count) / span, 0.0, count)
        generator = np.random.Generator(np.random.Philox(key=key))
        return generator.beta(1.0 + successes, 1.0 + count - successes, size=(policy.samples, actions))
    if policy.kind != "thompson_linear":
        return None
    if not action_width or covariance is None:
        return normals(key, policy.samples * actions).reshape(policy.samples, actions)
    uncertain = covariance.shape[1]
    noise = normals(key, policy.samples * uncertain).reshape(policy.samples, uncertain)
    root = np.linalg.cholesky((covariance[0] + covariance[0].T) / 2.0)
    posterior = np.tile(coefficients[0], (policy.samples, 1))
    posterior[:, :uncertain] += policy.alpha * (noise @ root.T)
    return posterior
