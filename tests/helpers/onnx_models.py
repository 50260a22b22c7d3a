"""ONNX networks of a few lines: the scores of a class are the values of a band."""

import json

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

DEEPNESS = {
    "model_type": "Segmentor",
    "class_names": {"0": "reddish", "1": "greenish", "2": "bluish"},
    "resolution": 50,
    "tile_size": 32,
    "standardization_mean": [0.0, 0.0, 0.0],
    "standardization_std": [1.0, 1.0, 1.0],
    "seg_thresh": 0.0,
}


def write_onnx(path, metadata, *, classes=3, last="Softmax", axes=("n", 3, 32, 32), gain=100.0,
               kind=TensorProto.FLOAT, apart=False):  # fmt: skip
    """Write a network of one layer, whose outputs are bands times a gain, and an activation."""
    weights = np.zeros((classes, 3, 1, 1), np.float32)
    weights[range(classes), range(classes)] = gain
    nodes = [helper.make_node("Conv", ["image", "w"], ["logits"])]
    nodes.append(
        helper.make_node(last, ["logits"], ["out"], **({"axis": 1} if last == "Softmax" else {}))
    )
    if last == "ArgMax":
        nodes[-1] = helper.make_node(last, ["logits"], ["out"], axis=1)
    graph = helper.make_graph(
        nodes,
        "one layer",
        [helper.make_tensor_value_info("image", kind, axes)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "w")],
    )
    if last == "ArgMax":
        graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    written = {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}
    helper.set_model_props(model, written)
    save(model, path, save_as_external_data=apart, location="weights.bin", size_threshold=0)
    return path
