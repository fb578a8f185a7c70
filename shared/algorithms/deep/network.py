"""A network from a verified ONNX file."""

from pathlib import Path
from typing import Any

import numpy as np

from shared.core.arrays import Floats

INPUT = "context"
OUTPUT = "output"


class Network:
    """Rows in, rows out, through onnxruntime, which is imported here and nowhere else."""

    def __init__(self, file: Path) -> None:
        """Raises ValueError for a file that is no such network."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # networks are small, and a server has better use for its cores
        try:
            self._session: Any = onnxruntime.InferenceSession(
                file.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
            self.width = int(self._session.get_inputs()[0].shape[1])
            self.size = int(self._session.get_outputs()[0].shape[1])
        except Exception as error:  # onnxruntime raises classes of its own, derived from Exception alone
            raise ValueError(f"{file}: is no network: {error}") from error

    def __call__(self, rows: np.ndarray) -> Floats:
        """Outputs, (n, size) float64, of rows (n, width). Raises ValueError for another width."""
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise ValueError(f"rows of shape {rows.shape}; wanted (n, {self.width})")
        [found] = self._session.run([OUTPUT], {INPUT: rows.astype(np.float32)})
        return np.asarray(found, np.float64)
