"""A Llama in the layout of transformers as a GGUF file, tensor by tensor.

Layout: github.com/ggml-org/ggml/blob/master/docs/gguf.md; names of tensors and fields are the gguf package's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open

from shared.algorithms.export.architecture import Llama, read_llama
from shared.algorithms.export.errors import NotExportable
from shared.algorithms.export.quantisation import Quantisation
from shared.algorithms.export.vocabulary import Vocabulary, read_vocabulary

Weights = npt.NDArray[np.float32]
_OUTPUT = "lm_head.weight"
#: These answer for most of the quality in the smallest kinds: they are kept at eight bits.
_PRECISE = ("token_embd.weight", "output.weight")


@dataclass(frozen=True)
class Written:
    """What was written: tensors by their type."""

    tensors: dict[str, int]


@dataclass(frozen=True)
class _Tensor:
    source: str
    file: Path
    name: str
    shape: tuple[int, ...]
    kind: gguf.GGMLQuantizationType


def write_gguf(folder: Path, target: Path, wanted: Quantisation, name: str) -> Written:
    """Write the model of `folder` to `target`, of a quantisation that the gguf package makes.

    Rows that no block of the quantisation fits are kept at 16 bits. Raises NotExportable.
    """
    if wanted.own is None:
        raise ValueError(f"{wanted.name} is not made here")
    llama = read_llama(folder)
    vocabulary = read_vocabulary(folder, llama.vocabulary)
    tensors = _plan(folder, llama, gguf.GGMLQuantizationType[wanted.own])
    writer = gguf.GGUFWriter(target, "llama")
    _describe_model(writer, llama, wanted, name)
    _describe_vocabulary(writer, vocabulary)
    factors = llama.rope_factors()
    if factors is not None:
        writer.add_tensor_info("rope_freqs.weight", factors.shape, factors.dtype, factors.nbytes)
    for tensor in tensors:
        shape = gguf.quant_shape_to_byte_shape(tensor.shape, tensor.kind)
        writer.add_tensor_info(tensor.name, shape, np.dtype(np.uint8), int(np.prod(shape)), tensor.kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    if factors is not None:
        writer.write_tensor_data(factors)
    for tensor, weights in _read(tensors, llama):
        writer.write_tensor_data(gguf.quantize(weights, tensor.kind))
    writer.close()
    counts: dict[str, int] = {}
    for tensor in tensors:
        counts[tensor.kind.name] = counts.get(tensor.kind.name, 0) + 1
    return Written(counts)


def interleaved(weights: Weights, heads: int) -> Weights:
    """Rows of a query or key projection (heads · width, …) in llama.cpp's order.

    transformers rotates the first half of a head against the second, llama.cpp each even row against the
    next.
    """
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def _plan(folder: Path, llama: Llama, kind: gguf.GGMLQuantizationType) -> list[_Tensor]:
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, llama.layers)
    found = []
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as weights:
            for source in sorted(weights.keys()):
                if llama.tied and source == _OUTPUT:
                    continue
                name = names.get_name(source, try_suffixes=(".weight", ".bias"))
                if name is None:
                    raise NotExportable(f"{file.name}: tensor {source} has no place in a Llama")
                shape = tuple(weights.get_slice(source).get_shape())
                found.append(_Tensor(source, file, name, shape, _kind(name, shape, kind)))
    return found


def _kind(name: str, shape: tuple[int, ...], wanted: gguf.GGMLQuantizationType) -> gguf.GGMLQuantizationType:
    if len(shape) == 1:
        return gguf.GGMLQuantizationType.F32
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    if shape[-1] % block:
        return gguf.GGMLQuantizationType.F16
    eight_bits = gguf.GGMLQuantizationType.Q8_0
    return eight_bits if block > 1 and name in _PRECISE else wanted


def _read(tensors: list[_Tensor], llama: Llama) -> Iterator[tuple[_Tensor, Weights]]:
    for tensor in tensors:
        with safe_open(tensor.file, "pt") as weights:
            values: Weights = weights.get_tensor(tensor.source).to(torch.float32).numpy()
        if ".q_proj." in tensor.source:
            values = interleaved(values, llama.heads)
        elif ".k_proj." in tensor.source:
            values = interleaved(values, llama.key_value_heads)
        yield tensor, values


def _describe_model(writer: gguf.GGUFWriter, llama: Llama, wanted: Quantisation, name: str) -> None:
    writer.add_name(name)
    writer.add_file_type(wanted.file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(llama.vocabulary)
    writer.add_context_length(llama.context)
    writer.add_embedding_length(llama.width)
    writer.add_block_count(llama.layers)
    writer.add_feed_forward_length(llama.feed_forward)
    writer.add_head_count(llama.heads)
    writer.add_head_count_kv(llama.key_value_heads)
    writer.add_key_length(llama.head_width)
    writer.add_value_length(llama.head_width)
    writer.add_layer_norm_rms_eps(llama.epsilon)
    writer.add_rope_dimension_count(llama.head_width)
    writer.add_rope_freq_base(llama.rope_base)
    if llama.rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(llama.rope["factor"])


def _describe_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pattern)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.kinds)
    if vocabulary.scores:
        writer.add_token_scores(vocabulary.scores)
    if vocabulary.merges:
        writer.add_token_merges(vocabulary.merges)
    adders = {
        "bos": writer.add_bos_token_id,
        "eos": writer.add_eos_token_id,
        "unk": writer.add_unk_token_id,
        "pad": writer.add_pad_token_id,
    }
    for name, add in adders.items():
        if name in vocabulary.special:
            add(vocabulary.special[name])
    writer.add_add_bos_token(vocabulary.adds_bos)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(vocabulary.adds_space)
    if vocabulary.chat_template:
        writer.add_chat_template(vocabulary.chat_template)
