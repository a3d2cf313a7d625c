"""The committee as one ONNX graph (https://onnx.ai), for programs without Python, and for onnxruntime."""

import importlib
import json
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from microcalc import __version__
from microcalc.committee.calibration import SMALLEST_PROBABILITY
from microcalc.committee.committee import Committee
from microcalc.committee.inference import COARSE, SAY_AGAINST, SAY_FOR, enlarging_matrix
from microcalc.config import Looks
from microcalc.errors import RequestError
from microcalc.networks.film import GRAIN_SIGMA, SMALLEST_TEXTURE, Film
from microcalc.networks.hypermodel import PATCH_SIDE
from microcalc.networks.layers import BACKGROUND_SIGMA, DETAIL_GAIN, USUAL_TEXTURE, blur_matrix

OPSET = 17
IR_VERSION = 8  # the oldest that has this opset, so that older runtimes read the graph too
ROWS, COLUMNS = 2, 3
PIECE = 8  # patches at a time; eight looks at each share the graph's memory


class _Graph:
    """Nodes and constants of a graph that grows by one node at a time; images are (n, channels, rows, columns)."""

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any, kind: type = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(value, kind), name))
        return name

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, [output], **attributes))
        return output


def committee_graph(committee: Committee) -> bytes:
    """Write a committee as an ONNX model: input scaling, experts, looks, weights and calibration in one graph.

    The graph takes ``patches`` (n, 60, 60) float32, raw grey values in [0, 1], and gives ``probability`` (n,), the
    calibrated probability of a cluster, and ``expert_probabilities`` (n, experts), both float32. Its metadata tell
    ``threshold``, ``weights``, ``calibration`` and the version of microcalc.

    Returns:
        A file's content, for onnxruntime or any other program that reads ONNX.

    Raises:
        RequestError: the committee filters patches in the wavelet domain, or the package onnx is not installed.
    """
    if committee.wavelet.name != "none":
        raise RequestError(
            f"this committee filters patches by the wavelet {committee.wavelet.name}, which an ONNX graph cannot hold; "
            "use --engine torch, or a committee of a run with --wavelet none"
        )
    onnx = require("onnx")
    graph = _Graph(onnx)
    kind = onnx.TensorProto
    experts = _add_experts(graph, committee)
    probability = _add_combination(graph, committee, experts)
    graph.add("Cast", probability, to=kind.FLOAT, output="probability")
    graph.add("Cast", experts, to=kind.FLOAT, output="expert_probabilities")
    describe = onnx.helper.make_tensor_value_info
    made = onnx.helper.make_graph(
        graph.nodes,
        "committee",
        [describe("patches", kind.FLOAT, ["n", PATCH_SIDE, PATCH_SIDE])],
        [
            describe("probability", kind.FLOAT, ["n"]),
            describe("expert_probabilities", kind.FLOAT, ["n", len(committee.networks)]),
        ],
        graph.constants,
    )
    model = onnx.helper.make_model(
        made,
        producer_name="microcalc",
        producer_version=__version__,
        ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    onnx.helper.set_model_props(model, _metadata(committee))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def require(package: str) -> Any:
    """Import a package of the extra ``onnx``.

    Raises:
        RequestError: it is not installed.

    >>> require("no_such_package")
    Traceback (most recent call last):
    ...
    microcalc.errors.RequestError: ONNX needs the package no_such_package; pip install "microcalc[onnx]"
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise RequestError(f'ONNX needs the package {package}; pip install "microcalc[onnx]"') from error


class GraphSession:
    """A committee run by onnxruntime from its graph, on the processor."""

    def __init__(self, content: bytes) -> None:
        """Load what :func:`committee_graph` wrote.

        Raises:
            RequestError: the package onnxruntime is not installed.
        """
        runtime = require("onnxruntime")
        options = runtime.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # or idle threads burn the processor
        self._session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def predict(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n, 60, 60) raw patches in [0, 1] to (n,) probabilities and (n, experts) of the experts."""
        probabilities, experts = [], []
        for start in range(0, len(images), PIECE):
            patches = np.ascontiguousarray(images[start : start + PIECE], np.float32)
            answers = self._session.run(["probability", "expert_probabilities"], {"patches": patches})
            probabilities.append(answers[0])
            experts.append(answers[1])
        return np.concatenate(probabilities).astype(np.float64), np.concatenate(experts).astype(np.float64)


def _metadata(committee: Committee) -> dict[str, str]:
    return {
        "threshold": repr(committee.threshold),
        "weights": json.dumps(committee.weights.tolist()),
        "calibration": json.dumps(vars(committee.calibration)),
        "microcalc": __version__,
    }


def _add_experts(graph: _Graph, committee: Committee) -> str:
    """(n, experts) probabilities of the experts, in double precision."""
    images = graph.add("Unsqueeze", "patches", graph.constant([1], np.int64))
    views = _add_views(graph, images, committee.looks)
    quarters = committee.looks == "quarters"
    coarseness = _add_coarseness(graph, images) if quarters else ""
    votes = []
    for number, network in enumerate(committee.networks):
        said = views
        for layer in network.layers[1:-1]:
            said = _add_layer(graph, layer, said)
        said = graph.add("Cast", said, to=graph.onnx.TensorProto.DOUBLE)
        if quarters:
            votes.append(_add_quarters(graph, said, coarseness, committee.films[number]))
        else:
            votes.append(_add_mean(graph, said, committee.looks))
    return graph.add("Concat", *votes, axis=1)


def _add_views(graph: _Graph, images: str, looks: Looks) -> str:
    """(views n, 1, 60, 60): all of the images in each view of :func:`microcalc.committee.inference.views` in turn."""
    if looks == "one":
        return images
    views = []
    for side in (images, _add_flip(graph, images, COLUMNS)):
        views.append(side)
        for _ in range(3):
            turned = graph.add("Transpose", views[-1], perm=[0, 1, COLUMNS, ROWS])
            views.append(_add_flip(graph, turned, ROWS))
    if looks == "quarters":
        matrix = enlarging_matrix(PATCH_SIDE, torch.device("cpu")).numpy()
        down, across = graph.constant(matrix), graph.constant(matrix.T)
        views[4:] = [graph.add("MatMul", graph.add("MatMul", down, view), across) for view in views[4:]]
    return graph.add("Concat", *views, axis=0)


def _add_mean(graph: _Graph, said: str, looks: Looks) -> str:
    """(views n, 1) logits of "one" or "eight" looks to (n, 1) probabilities."""
    probabilities = graph.add("Sigmoid", said)
    if looks == "one":
        return probabilities
    by_view = graph.add("Reshape", probabilities, graph.constant([8, -1, 1], np.int64))
    return graph.add("ReduceMean", by_view, axes=[0], keepdims=0)


def _add_quarters(graph: _Graph, said: str, coarseness: str, film: Film) -> str:
    """(8 n, 1) logits to (n, 1) probabilities; see :func:`microcalc.committee.inference.drawn_to_quarters`."""

    def number(value: float) -> str:
        return graph.constant(value, np.float64)

    by_view = graph.add("Reshape", said, graph.constant([8, -1, 1], np.int64))
    first, fifth, end = (graph.constant([place], np.int64) for place in (0, 4, 8))
    whole = graph.add("ReduceMean", graph.add("Slice", by_view, first, fifth), axes=[0], keepdims=0)
    odds = graph.add("ReduceLogSumExp", graph.add("Slice", by_view, fifth, end), axes=[0], keepdims=0)
    more = graph.add("Sub", graph.add("Sub", odds, number(math.log(4))), whole)
    excess = graph.add("Div", graph.add("Sub", coarseness, number(film.mean)), number(film.deviation))
    share = graph.add("Clip", graph.add("Div", excess, number(COARSE)), number(0), number(1))
    most = graph.add("Where", graph.add("Greater", more, number(0)), number(SAY_FOR), number(SAY_AGAINST))
    drawn = graph.add("Mul", graph.add("Mul", most, share), more)
    return graph.add("Sigmoid", graph.add("Add", whole, drawn))


def _add_coarseness(graph: _Graph, images: str) -> str:
    """(n, 1) in double precision, as :func:`microcalc.networks.film.coarseness` gives it."""
    smooth = _add_blur(graph, images, GRAIN_SIGMA)
    coarse = graph.add("Sub", smooth, _add_blur(graph, images, BACKGROUND_SIGMA))
    fine = graph.add("Sub", images, smooth)
    coarse, fine = (
        graph.add("Add", _add_texture(graph, detail), graph.constant(SMALLEST_TEXTURE)) for detail in (coarse, fine)
    )
    logarithm = graph.add("Flatten", graph.add("Log", graph.add("Div", coarse, fine)))
    return graph.add("Cast", logarithm, to=graph.onnx.TensorProto.DOUBLE)


def _add_flip(graph: _Graph, images: str, axis: int) -> str:
    """Images read backwards along an axis: Slice from the last to before the first."""
    start, end, step = (graph.constant([number], np.int64) for number in (-1, np.iinfo(np.int64).min, -1))
    return graph.add("Slice", images, start, end, graph.constant([axis], np.int64), step)


def _add_layer(graph: _Graph, layer: Any, values: str) -> str:
    """What one Keras layer of :func:`microcalc.networks.hypermodel.build_network` computes in a prediction."""
    weights = layer.get_weights()
    match type(layer).__name__:
        case "InputScaling":
            return _add_input_scaling(graph, layer.kind, values)
        case "Convolution":
            kernel, bias = weights
            filters = graph.constant(np.transpose(kernel, (3, 2, 0, 1)))
            return graph.add("Conv", values, filters, graph.constant(bias), pads=[1, 1, 1, 1])
        case "RectifyNormalizePool":
            return _add_rectify_normalize_pool(graph, weights, layer.epsilon, values)
        case "Dropout":
            return values
        case "Flatten":
            return graph.add("Flatten", graph.add("Transpose", values, perm=[0, ROWS, COLUMNS, 1]))
        case "Dense":
            dense = graph.add("Gemm", values, *(graph.constant(weight) for weight in weights))
            return graph.add({"linear": "Identity", "relu": "Relu"}[layer.activation.__name__], dense)
    raise RequestError(f"the layer {layer.name} of an expert has no ONNX counterpart here; use --engine torch")


def _add_rectify_normalize_pool(graph: _Graph, weights: list[Any], epsilon: float, values: str) -> str:
    """Pool before normalising, as the layer itself does; a channel whose line falls is turned round on the way."""
    gamma, beta, mean, variance = weights
    sign = np.where(gamma < 0, -1, 1)
    values = graph.add("Relu", values)
    if (sign < 0).any():
        values = graph.add("Mul", values, graph.constant(sign[:, None, None]))
    pooled = graph.add("MaxPool", values, kernel_shape=[2, 2], strides=[2, 2])
    constants = [graph.constant(constant) for constant in (sign * gamma, beta, sign * mean, variance)]
    return graph.add("BatchNormalization", pooled, *constants, epsilon=epsilon)


def _add_input_scaling(graph: _Graph, kind: str, images: str) -> str:
    if kind == "unit":
        return images
    if "+" in kind:
        return graph.add("Concat", *(_add_input_scaling(graph, part, images) for part in kind.split("+")), axis=1)
    if kind == "normalized":
        return _add_normalization(graph, _add_input_scaling(graph, "detail", images))
    if kind == "centred":
        rows = graph.add("ReduceMean", images, axes=[COLUMNS])  # in two steps: a float32 sum of 3,600 is too coarse
        return graph.add("Sub", images, graph.add("ReduceMean", rows, axes=[ROWS]))
    detail = graph.add("Sub", images, _add_blur(graph, images, BACKGROUND_SIGMA))
    return graph.add("Mul", detail, graph.constant(DETAIL_GAIN))


def _add_normalization(graph: _Graph, detail: str) -> str:
    usual = DETAIL_GAIN * USUAL_TEXTURE
    whole = graph.add("Add", graph.constant(usual), _add_texture(graph, detail))
    return graph.add("Mul", detail, graph.add("Div", graph.constant(2 * usual), whole))


def _add_blur(graph: _Graph, images: str, sigma: float) -> str:
    blur = blur_matrix(PATCH_SIDE, sigma, torch.device("cpu")).numpy()
    down = graph.add("MatMul", graph.constant(blur), images)
    return graph.add("MatMul", down, graph.constant(blur.T))


def _add_texture(graph: _Graph, detail: str) -> str:
    """(n, 1, 1, 1), as :func:`microcalc.networks.layers.texture` gives it."""
    roots = graph.add("Sqrt", graph.add("Abs", detail))
    mean = graph.add("ReduceMean", graph.add("ReduceMean", roots, axes=[COLUMNS]), axes=[ROWS])
    return graph.add("Mul", mean, mean)


def _add_combination(graph: _Graph, committee: Committee, experts: str) -> str:
    """(n,) calibrated probabilities, in double precision, as :meth:`Committee.combine` gives them."""

    def number(value: Any) -> str:
        return graph.constant(value, np.float64)

    average = graph.add("MatMul", experts, number(committee.weights))
    clipped = graph.add("Clip", average, number(SMALLEST_PROBABILITY), number(1 - SMALLEST_PROBABILITY))
    odds = graph.add("Div", clipped, graph.add("Sub", number(1), clipped))
    scaled = graph.add("Mul", graph.add("Log", odds), number(committee.calibration.slope))
    return graph.add("Sigmoid", graph.add("Add", scaled, number(committee.calibration.intercept)))
