"""The density with which logged vectors were chosen, estimated from the log itself."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.core.arrays import Floats
from shared.core.estimators.continuous.mixture import Mixture

COMPONENTS = (1, 2, 4, 8, 16)
"""Numbers of components that are tried; the likelihood of rows that were held out chooses."""
FITTED = 20_000
"""Most rows that one mixture is fitted to: more would sharpen it less than it costs."""
RIDGE = 1.0
"""Prior precision of each coefficient, in rows, of vectors and contexts that vary by about one."""


@dataclass(frozen=True)
class Form:
    """What a density is made of."""

    components: int
    conditional: bool
    """Whether it depends on the context."""


@dataclass(frozen=True, eq=False)
class Behaviour:
    """A mixture of normals over a vector and what a regression expects of it in its context.

    Conditioned on the second, it is a mixture whose shares and means both move with the context (Gaussian
    mixture regression, Ghahramani and Jordan 1994). A log that several policies wrote gives their mixture's
    density, which is what the balance heuristic asks for.
    """

    mixture: Mixture
    coefficients: Floats
    """(context + 1, d); without columns where the density does not depend on the context."""

    @classmethod
    def fit(cls, contexts: Floats, vectors: Floats, form: Form, seed: int) -> "Behaviour":
        """Fit contexts (n, w) and vectors (n, d), all standardised."""
        design = _design(contexts)
        coefficients: Floats = np.zeros((design.shape[1], 0))
        if form.conditional:
            curvature = design.T @ design + RIDGE * np.eye(design.shape[1])
            coefficients = np.asarray(np.linalg.solve(curvature, design.T @ vectors), np.float64)
        kept = np.linspace(0, len(vectors) - 1, min(len(vectors), FITTED)).astype(np.int64)
        rows = np.column_stack([design[kept] @ coefficients, vectors[kept]])
        random = np.random.Generator(np.random.Philox(key=seed))
        return cls(Mixture.fit(rows, form.components, random), coefficients)

    def log_density(self, contexts: Floats, vectors: Floats) -> Floats:
        """Return the log density of vectors (n, d) in contexts (n, w), (n,)."""
        expected = _design(contexts) @ self.coefficients
        joint = self.mixture.log_density(np.column_stack([expected, vectors]))
        if not expected.shape[1]:
            return joint
        return np.asarray(joint - self.mixture.over_first(expected.shape[1]).log_density(expected))


def chosen_form(contexts: Floats, vectors: Floats, fold: NDArray[np.int64], seed: int) -> Form:
    """The form under which the first fold, held out, is likeliest. Several rows in each fold are needed."""
    held = fold == 0

    def likelihood(form: Form) -> float:
        fitted = Behaviour.fit(contexts[~held], vectors[~held], form, seed)
        return float(fitted.log_density(contexts[held], vectors[held]).mean())

    return max(_forms(int((~held).sum()), contexts.shape[1] > 0), key=likelihood)


def _forms(rows: int, contexts: bool) -> Iterator[Form]:
    """Those for which there are rows enough: some tens for each component."""
    for components in COMPONENTS:
        if components == 1 or rows >= 50 * components:
            yield Form(components, False)
            if contexts:
                yield Form(components, True)


def _design(contexts: Floats) -> Floats:
    return np.column_stack([contexts, np.ones(len(contexts))])
