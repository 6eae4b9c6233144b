"""A network from faces to embeddings, for methods that read faces."""

from pathlib import Path

import numpy as np
import openvino
import openvino.opset13 as ops


def write_face_encoder(path: Path, width: int) -> Path:
    """A network from aligned faces to embeddings `width` wide, as OpenVINO reads it, in place of an ONNX file."""
    faces = ops.parameter([1, 3, 112, 112], np.float32)
    small = ops.reshape(ops.avg_pool(faces, [28, 28], [0, 0], [0, 0], [28, 28], True), [1, 48], False)
    weights = np.random.default_rng(0).normal(size=(48, width)).astype(np.float32)
    model = openvino.Model([ops.matmul(small, weights, False, False)], [faces])
    openvino.save_model(model, path, compress_to_fp16=False)
    return path
