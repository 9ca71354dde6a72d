"""Runs every ONNX file of a folder through onnxruntime: python run_onnx.py FOLDER (pip install onnxruntime numpy)

NAME.input, the picture's numbers in single precision, goes into NAME.onnx; what comes out is written to NAME.output.
Where the package onnx is installed too, its checker looks at each file.
"""

import pathlib
import sys

import numpy
import onnxruntime

try:
    import onnx
except ImportError:
    onnx = None

for path in sorted(pathlib.Path(sys.argv[1]).glob("*.onnx")):
    if onnx:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        assert model.graph.name, f"{path.name}: the graph has no name"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (image,), (output,) = session.get_inputs(), session.get_outputs()
    assert (image.name, output.name) == ("images", "output"), f"{path.name}: {image.name}, {output.name}"
    pixels = numpy.fromfile(path.with_suffix(".input"), "<f4").reshape(image.shape)
    (found,) = session.run(["output"], {"images": pixels})
    assert list(found.shape) == output.shape, f"{path.name}: {found.shape}, not {output.shape}"
    found.astype("<f4").tofile(path.with_suffix(".output"))

print(f"onnxruntime {onnxruntime.__version__}, onnx's checker {onnx.__version__ if onnx else 'not installed'}")
