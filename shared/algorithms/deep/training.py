"""d3rlpy with seeds, progress and files that are no pickles. Imports torch and d3rlpy."""

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from shared.algorithms.contract import Progress
from shared.algorithms.deep.network import INPUT, OUTPUT, Network
from shared.core.arrays import Floats

with contextlib.redirect_stderr(io.StringIO()):  # gym, which d3rlpy imports, advertises its successor
    import d3rlpy

#: Configurations of d3rlpy's algorithms.
algos = d3rlpy.algos

#: The newest operator set that every supported onnxruntime knows.
OPSET = 17
#: The most by which an exported network may differ from the trained one.
PARITY = 1e-5
#: Share of training's progress that fitting is; before it data are read, after it files are written.
FIRST, LAST = 0.1, 0.9


@contextlib.contextmanager
def workspace(seed: int) -> Iterator[None]:
    """Seed every generator; d3rlpy's prints go to stderr, if anybody asked for them, and not to stdout."""
    wanted = logging.getLogger().isEnabledFor(logging.INFO)
    with contextlib.redirect_stdout(sys.stderr if wanted else io.StringIO()):
        d3rlpy.seed(seed % 2**32)
        yield


def dataset(observations: Floats, actions: np.ndarray, rewards: Floats, terminals: np.ndarray) -> Any:
    """Transitions in order of their episodes, each of which ends with a terminal."""
    return d3rlpy.dataset.MDPDataset(
        observations.astype(np.float32),
        actions,
        rewards.astype(np.float32),
        terminals.astype(np.float32),
    )


def encoder(hidden: tuple[int, ...]) -> Any:
    """Layers of so many rectified units."""
    return d3rlpy.models.encoders.VectorEncoderFactory(list(hidden))


def fit(configuration: Any, data: Any, steps: int, progress: Progress) -> Any:
    """The fitted algorithm after so many steps of gradient descent."""
    algorithm = configuration.create(device="cuda:0" if torch.cuda.is_available() else "cpu:0")
    every = max(1, steps // 100)

    def report(_: Any, epoch: int, step: int) -> None:
        if step % every == 0:
            progress(FIRST + (LAST - FIRST) * step / steps, f"step {step} of {steps}")

    algorithm.fit(
        data,
        n_steps=steps,
        n_steps_per_epoch=steps,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
        show_progress=False,
        callback=report,
    )
    return algorithm


def keep(module: torch.nn.Module, inputs: Floats, out: Path, name: str) -> float:
    """Write the network as `<name>.onnx` and its parameters as `<name>.safetensors`.

    Returns the largest difference between the two, on `inputs` (n, width). Raises RuntimeError if it is above
    PARITY, relative to the largest output where that is above 1.
    """
    module = module.to("cpu").eval()
    example = torch.tensor(np.array(inputs, np.float32))
    with warnings.catch_warnings():
        # The exporter that torch prefers needs onnxscript, for graphs that are not these plain layers.
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export")
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.onnx\.")
        torch.onnx.export(
            module,
            (example[:2],),
            str(out / f"{name}.onnx"),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "n"}, OUTPUT: {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
    state = {key: value.contiguous() for key, value in module.state_dict().items()}
    save_file(state, out / f"{name}.safetensors")
    with torch.no_grad():
        trained = module(example).numpy()
    difference = float(np.abs(Network(out / f"{name}.onnx")(inputs) - trained).max())
    if difference > PARITY * max(1.0, float(np.abs(trained).max())):
        raise RuntimeError(f"{name}: the exported network differs by {difference:g}")
    return difference
