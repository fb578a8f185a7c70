"""Ollama's Modelfile: what a model is made of and run with."""

from collections.abc import Mapping
from types import MappingProxyType

#: Widgets are chosen, not invented; and their prompts are short.
PARAMETERS: Mapping[str, float | int] = MappingProxyType({"temperature": 0.1, "num_ctx": 2048})
#: The prompt as it was in training: followed by a new line, without a chat around it.
TEMPLATE = "{{ .Prompt }}\n"


def modelfile(source: str, parameters: Mapping[str, float | int] = PARAMETERS) -> str:
    """Text of a Modelfile; `source` is a GGUF's path relative to it, or a model's name."""
    lines = [f"FROM {source}", *(f"PARAMETER {name} {value}" for name, value in parameters.items())]
    return "\n".join([*lines, f'TEMPLATE """{TEMPLATE}"""']) + "\n"
