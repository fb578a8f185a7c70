"""obp and scikit-learn for the classification protocol.

Usage: obp_protocol.py policies FOLDER TRAIN EPSILON, then obp_protocol.py estimates FOLDER. FOLDER holds
features.npy (n, d) and classes.npy (n,); `policies` trains on the first TRAIN rows and writes behaviour.npy
and target.npy, distributions (n - TRAIN, k) over the other rows. `estimates` reads rows.npy, actions.npy
(samples, size), and prints obp's estimates, {name: [one for each sample]}.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
from obp_library import estimators, regression_model
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.preprocessing import StandardScaler

FOLDS = 5


def policies(folder: Path, train: int, epsilon: float) -> None:
    """Train the logging policy (logistic regression) and the target (SGD), and mix both with uniform."""
    features, classes = np.load(folder / "features.npy"), np.load(folder / "classes.npy")
    count = classes.max() + 1
    scaled = StandardScaler().fit(features[:train]).transform(features)
    models = {
        "behaviour": LogisticRegression(max_iter=2000),
        "target": SGDClassifier(loss="modified_huber", random_state=0),
    }
    for name, model in models.items():
        model.fit(scaled[:train], classes[:train])
        shares = np.zeros((len(features) - train, count))
        shares[:, model.classes_] = model.predict_proba(scaled[train:])
        np.save(folder / f"{name}.npy", (1 - epsilon) * shares + epsilon / count)


def estimates(folder: Path) -> None:
    """Estimate each sample's value with obp, its reward model cross-fitted."""
    names = ("features", "classes", "behaviour", "target", "rows", "actions")
    tables = {name: np.load(folder / f"{name}.npy") for name in names}
    held = len(tables["behaviour"])
    features, classes = tables["features"][-held:], tables["classes"][-held:]
    found: dict[str, list[float]] = {}
    for rows, actions in zip(tables["rows"], tables["actions"], strict=True):
        reward = (actions == classes[rows]).astype(int)
        target = tables["target"][rows][:, :, None]
        log = {"reward": reward, "action": actions, "pscore": tables["behaviour"][rows, actions]}
        model = regression_model()(
            n_actions=target.shape[1], base_model=LogisticRegression(C=1.0, max_iter=200)
        )
        predicted = model.fit_predict(
            context=features[rows], **log, action_dist=target, n_folds=FOLDS, random_state=0
        )
        log |= {"position": np.zeros(len(rows), int), "action_dist": target}
        for name, estimator in estimators().items():
            value = estimator.estimate_policy_value(**log, estimated_rewards_by_reg_model=predicted)
            found.setdefault(name, []).append(float(value))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1] == "policies":
        policies(Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    else:
        estimates(Path(sys.argv[2]))
