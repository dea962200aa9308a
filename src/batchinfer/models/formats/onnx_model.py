"""ONNX: a graph of standard operators in one file, run by onnxruntime.

Owns what such a file may hold: no operators that need code of somebody's own, and no data in other
files, because onnxruntime would open whatever path the model names.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from batchinfer.errors import ModelError
from batchinfer.models.formats.artifact import (
    Classified,
    ForeignModule,
    ModelInput,
    Predictor,
    Trust,
    first_line,
    label_texts,
    missing_package,
)

# The standard's own, and what onnxruntime has built in.
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
# Runs a library that the node names.
_FORBIDDEN = ("EPContext",)
_TYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32", "tensor(int16)": "int16", "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool", "tensor(string)": "string",
}  # fmt: skip


def is_onnx(data: bytes) -> bool:
    """True if the bytes may be an ONNX model: its first field is the version, and there is a graph.

    Raises:
        SetupError: they may be, and the package that would tell is not installed.
    """
    if data[:1] != b"\x08":
        return False
    try:
        return _parsed(data).HasField("graph")
    except ModelError:
        return False


def check_onnx(data: bytes) -> Any:
    """The model as `onnx` reads it.

    Runs on: driver and executor.

    Raises:
        ModelError: the file is damaged, refers to other files, or has operators that are not the
            standard's.
        SetupError: the package onnx is not installed.
    """
    model = _parsed(data)
    own = {(function.domain, function.name) for function in model.functions}
    for node in _nodes([model.graph, *model.functions]):
        if (node.domain, node.op_type) in own:
            continue
        if node.domain not in _DOMAINS or node.op_type in _FORBIDDEN:
            raise ModelError(
                f"the model has the operator {node.op_type} of {node.domain or 'ai.onnx'}, which "
                "needs code of its own; "
                f"allowed: operators of {', '.join(_DOMAINS[1:])}"
            )
    for tensor in _tensors(model):
        if tensor.data_location == tensor.EXTERNAL or tensor.external_data:
            raise ModelError(
                f"the model keeps {tensor.name!r} in another file; allowed: all in one file",
                "torch.onnx.export(…, external_data=False), or onnx.save(onnx.load(PATH), NEW)",
            )
    return model


def _parsed(data: bytes) -> Any:
    try:
        import onnx
    except ImportError as error:
        raise missing_package("onnx", "onnx") from error
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's own error, of whichever of its back ends
        raise ModelError(f"the file is no ONNX model, or cut off: {error}") from error
    if not model.HasField("graph") or not model.graph.output:
        raise ModelError("the file is no ONNX model, or cut off: it has no graph with outputs")
    return model


def _nodes(graphs: list[Any]) -> Iterator[Any]:
    """All nodes, those of branches and loops too."""
    while graphs:
        for node in graphs.pop().node:
            yield node
            for attribute in node.attribute:
                graphs += [attribute.g] if attribute.HasField("g") else []
                graphs += list(attribute.graphs)


def _tensors(model: Any) -> Iterator[Any]:
    graphs = [model.graph]
    for node in _nodes([model.graph, *model.functions]):
        for attribute in node.attribute:
            graphs += [attribute.g] if attribute.HasField("g") else []
            graphs += list(attribute.graphs)
            yield from ([attribute.t] if attribute.HasField("t") else [])
            yield from attribute.tensors
            sparse = (
                [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            ) + list(attribute.sparse_tensors)
            for one in sparse:
                yield from (one.values, one.indices)
    for graph in graphs:
        yield from graph.initializer
        for one in graph.sparse_initializer:
            yield from (one.values, one.indices)


def open_onnx(data: bytes, device: str, trust: Trust = "none") -> ForeignModule:
    """The model as a module, after `check_onnx`; on a GPU where onnxruntime has one, else on the
    CPU.

    Runs on: driver and executor.

    Raises:
        ModelError: as `onnx_session`.
    """
    return OnnxPredictor(*onnx_session(data, device))


def open_first_onnx(data: bytes, device: str, trust: Trust = "none") -> ForeignModule:
    """As `open_onnx`, asked as bundles of reading 1 ask."""
    return OnnxProgram(*onnx_session(data, device))


def onnx_session(data: bytes, device: str) -> tuple[Any, tuple[str, ...]]:
    """A session of onnxruntime, and the names of the model's classes; after `check_onnx`.

    Runs on: driver and executor.

    Raises:
        ModelError: as `check_onnx`; or onnxruntime cannot run it, or it takes something else than
            tensors.
        SetupError: the package onnxruntime is not installed.
    """
    model = check_onnx(data)
    try:
        import onnxruntime
    except ImportError as error:
        raise missing_package("onnxruntime", "onnx") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: standard error is for people
    # As many threads as PyTorch's, which the worker limits to its share of the cores.
    options.intra_op_num_threads = torch.get_num_threads()
    there = onnxruntime.get_available_providers()
    wanted = (
        ["CUDAExecutionProvider"] if device != "cpu" and "CUDAExecutionProvider" in there else []
    )
    if device != "cpu" and not wanted:
        logging.getLogger(__name__).warning(
            "this onnxruntime has no CUDA: the model runs on the CPU"
        )
    try:
        # No second try by itself: it prints to standard output, which is not its own.
        providers = [*wanted, "CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(
            data, options, providers=providers, enable_fallback=0
        )
    except Exception as error:  # onnxruntime's errors have no common class
        raise ModelError(
            f"onnxruntime {onnxruntime.__version__} cannot run this model: {first_line(error)}"
        ) from error
    return session, class_labels(model)


def class_labels(model: Any) -> tuple[str, ...]:
    """Names of the classes that a classifier of `ai.onnx.ml` was made with; none where no node
    tells them.
    """
    for node in reversed(list(_nodes([model.graph]))):
        for attribute in node.attribute:
            if attribute.name in (
                "classlabels_strings",
                "classlabels_string",
                "classlabels_int64s",
                "classlabels_ints",
            ):
                found = [one.decode() for one in attribute.strings] or [
                    str(one) for one in attribute.ints
                ]
                if found:
                    return tuple(found)
    # A label is picked by its place out of a constant of all of them.
    arrays = {one.name: one for one in model.graph.initializer}
    for node in reversed(model.graph.node):
        if node.op_type == "ArrayFeatureExtractor" and node.input[0] in arrays:
            found = arrays[node.input[0]]
            texts = [one.decode() for one in found.string_data]
            return tuple(texts or [str(one) for one in _numbers(found)])
    return ()


def _numbers(tensor: Any) -> list[int]:
    from onnx import numpy_helper

    return [int(one) for one in numpy_helper.to_array(tensor).reshape(-1)]


# fmt: off
class OnnxProgram(ForeignModule):
    """A session of onnxruntime: arrays or tensors in, one tensor, probabilities or text out."""

    def __init__(self, session: Any, labels: tuple[str, ...]) -> None:
        outputs = session.get_outputs()
        self_inputs = [_input(one) for one in session.get_inputs()]
        self_outputs = [one.name for one in outputs]
        kinds = [one.type for one in outputs]
        # scikit-learn's converter: a label, and the probabilities as a matrix or as a list of mappings.
        classifier = len(kinds) == 2 and kinds[0] in ("tensor(int64)", "tensor(string)")
        classifier = classifier and (kinds[1] in ("tensor(float)", "tensor(double)") or kinds[1].startswith("seq(map("))
        text = kinds == ["tensor(string)"]
        super().__init__(self_inputs, None, labels, "probabilities" if classifier else "text" if text else "values")
        self._session, self._names = session, self_outputs
        if classifier:
            self._names = self_outputs[1:]
        elif len(self_outputs) != 1:
            raise ModelError(f"the model gives {', '.join(self_outputs)}; allowed: one output, or a label and probabilities")
        elif not text and kinds[0] not in _TYPES:
            raise ModelError(f"the model gives {kinds[0]}; allowed: one tensor")

    def forward(self, **inputs: Any) -> Any:
        """(rows, …) tensors or arrays by the names of `inputs`. Runs on: driver and executor."""
        arrays = {name: one.detach().cpu().numpy() if isinstance(one, torch.Tensor) else one for name, one in inputs.items()}
        (output,) = self._session.run(self._names, arrays)
        if self.gives == "text":
            return [str(one) for one in np.asarray(output).reshape(-1)]
        if isinstance(output, list):
            self.labels = self.labels or tuple(str(label) for label in (output[0] if output else ()))
            # The mappings' own order is that of the classes.
            output = np.array([list(row.values()) for row in output], np.float64).reshape(len(output), -1)
        return torch.from_numpy(np.ascontiguousarray(output))


class OnnxPredictor(Predictor):
    """A session of onnxruntime that is asked for all that it gives: a label of its own where it has one, and scores."""

    def __init__(self, session: Any, labels: tuple[str, ...]) -> None:
        self_inputs = [_input(one) for one in session.get_inputs()]
        label, scores = label_and_scores({one.name: one.type for one in session.get_outputs()})
        gives = "classes" if label and scores else "text" if label else "values"
        super().__init__(self_inputs, None, labels, gives)
        self._session, self._names = session, [name for name in (label, scores) if name]

    def forward(self, **inputs: Any) -> Any:
        """(rows, …) tensors or arrays by the names of `inputs`. Runs on: driver and executor."""
        arrays = {name: one.detach().cpu().numpy() if isinstance(one, torch.Tensor) else one for name, one in inputs.items()}
        outputs = self._session.run(self._names, arrays)
        if self.gives == "values":
            return torch.from_numpy(np.ascontiguousarray(outputs[0]))
        labels = label_texts(outputs[0])
        if self.gives == "text":
            return labels
        scores = outputs[1]
        if isinstance(scores, list):
            self.labels = self.labels or tuple(str(label) for label in (scores[0] if scores else ()))
            # The mappings' own order is that of the classes.
            scores = np.array([list(row.values()) for row in scores], np.float64).reshape(len(scores), -1)
        return Classified(labels, np.asarray(scores, np.float64).reshape(len(labels), -1))
# fmt: on


def label_and_scores(outputs: Mapping[str, str]) -> tuple[str, str]:
    """Names of the outputs that hold a label and that hold numbers; empty for one that there is
    not.

    Args:
        outputs: onnxruntime's types by name.

    Raises:
        ModelError: outputs of other kinds, or more of them.
    """
    numbers = [
        name
        for name, type_ in outputs.items()
        if type_.startswith("seq(map(") or (type_ in _TYPES and type_ != "tensor(string)")
    ]
    labels = [name for name, type_ in outputs.items() if type_ == "tensor(string)"]
    if not labels and len(outputs) == 2:
        whole = [name for name in numbers if outputs[name] in ("tensor(int64)", "tensor(int32)")]
        labels = whole if len(whole) == 1 else []
        numbers = [name for name in numbers if name not in labels]
    if len(labels) > 1 or len(numbers) > 1 or len(labels) + len(numbers) != len(outputs):
        raise ModelError(
            f"the model gives {', '.join(f'{name} {type_}' for name, type_ in outputs.items())}; "
            "allowed: one output, or a label and its probabilities"
        )
    return next(iter(labels), ""), next(iter(numbers), "")


def _input(one: Any) -> ModelInput:
    if one.type not in _TYPES:
        raise ModelError(
            f"the model takes {one.name!r} as {one.type}; allowed: {', '.join(_TYPES)}"
        )
    if one.shape is None or not len(one.shape):
        return ModelInput(one.name, _TYPES[one.type], ranked=False)
    rows, *rest = (size if isinstance(size, int) else None for size in one.shape)
    return ModelInput(one.name, _TYPES[one.type], tuple(rest), fixed_rows=rows)
