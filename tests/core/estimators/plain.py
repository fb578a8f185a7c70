"""The estimators once more, in plain Python loops, to check the vectorised ones against."""

import math


def ips(rows):
    return sum(t / p * r for r, p, t, _, _ in rows) / len(rows)


def clipped_ips(rows, limit):
    return sum(min(t / p, limit) * r for r, p, t, _, _ in rows) / len(rows)


def snips(rows):
    return sum(t / p * r for r, p, t, _, _ in rows) / sum(t / p for _, p, t, _, _ in rows)


def dm(rows):
    return sum(q_target for *_, q_target in rows) / len(rows)


def dr(rows):
    return sum(q + t / p * (r - q_logged) for r, p, t, q_logged, q in rows) / len(rows)


def switch_dr(rows, threshold):
    total = 0.0
    for r, p, t, q_logged, q_target in rows:
        total += q_target
        if t / p <= threshold:
            total += t / p * (r - q_logged)
    return total / len(rows)


def dr_os(rows, shrinkage):
    total = 0.0
    for r, p, t, q_logged, q_target in rows:
        w = t / p
        shrunk = w if math.isinf(shrinkage) else shrinkage * w / (w * w + shrinkage)
        total += q_target + shrunk * (r - q_logged)
    return total / len(rows)


def pdis(trajectories, discount):
    values = []
    for steps in trajectories:
        weight, value = 1.0, 0.0
        for time, (r, p, t) in enumerate(steps):
            weight *= t / p
            value += discount**time * weight * r
        values.append(value)
    return sum(values) / len(values)
