"""Finds weights that an ONNX file keeps in other files: these would be read from a folder, and no hash covers them."""

from collections.abc import Iterable, Iterator

import onnx
from onnx.external_data_helper import uses_external_data


def keeps_data_outside(model: onnx.ModelProto) -> bool:
    """Return whether any tensor of a model, wherever it stands, is to be read from another file.

    OpenVINO, and onnx itself, read such a file from the folder in which the process happens to run, even where the
    model comes from memory: others who can write there would choose the weights of a model whose bytes were verified.
    """
    return any(uses_external_data(tensor) for tensor in _tensors(model))


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_attributes(function.attribute_proto)
        yield from _of_nodes(function.node)
    for training in model.training_info:
        yield from _of_graph(training.initialization)
        yield from _of_graph(training.algorithm)


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    yield from _of_sparse(graph.sparse_initializer)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        yield from _of_attributes(node.attribute)


def _of_attributes(attributes: Iterable[onnx.AttributeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in attributes:
        yield attribute.t
        yield from attribute.tensors
        yield from _of_sparse([attribute.sparse_tensor, *attribute.sparse_tensors])
        for graph in [attribute.g, *attribute.graphs]:
            yield from _of_graph(graph)


def _of_sparse(tensors: Iterable[onnx.SparseTensorProto]) -> Iterator[onnx.TensorProto]:
    for tensor in tensors:
        yield tensor.values
        yield tensor.indices
