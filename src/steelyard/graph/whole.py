"""A model as one file that takes any number of rows, whatever form it came in."""

import shutil
from pathlib import Path

import onnx

from steelyard.graph.reading import file_bytes, read_model


def write_whole(source: Path, target: Path) -> int | None:
    """Copy a model, its external data inside the file and the first axis of inputs and outputs free.

    Many exporters fix the batch to 1 though the graph works for any. Whether this one does, running it must show.

    Args:
        source: an ONNX file.
        target: where the copy goes.

    Returns:
        The batch that the model was fixed to; None where it was free.

    Raises:
        InputError: if the file is no ONNX model, or unsafe.
    """
    model = read_model(source)
    batch = fixed_batch(model)
    if batch is None and file_bytes(source) == source.stat().st_size:
        shutil.copyfile(source, target)
        return None
    if batch is not None:
        for value in (*model.graph.input, *model.graph.output):
            shape = value.type.tensor_type.shape
            if shape.dim and shape.dim[0].dim_value == batch:
                shape.dim[0].dim_param = "n"
        # Stored shapes of inner values hold the old batch; the runtime infers them anew.
        del model.graph.value_info[:]
    target.write_bytes(model.SerializeToString())
    return batch


def fixed_batch(model: onnx.ModelProto) -> int | None:
    """The length of the first axis of every input, where all fix it to the same number; else None."""
    stored = {tensor.name for tensor in model.graph.initializer}
    shapes = [value.type.tensor_type.shape for value in model.graph.input if value.name not in stored]
    first = {shape.dim[0].dim_value if shape.dim else 0 for shape in shapes}
    return first.pop() if len(first) == 1 and 0 not in first else None
