"""Imported by measuring processes before any model: a small program is written and opened.

torch imports some twelve hundred modules when it opens its first program, their names another set in each version. They
are the library's cost, no model's, and so they have to be there before a model is loaded.
"""

import io

import numpy as np
import torch

from steelyard.runtimes.torch.export import exported, tracing

with tracing():
    _file = io.BytesIO()
    torch.export.save(exported(torch.nn.ReLU(), np.zeros((2, 1), dtype=np.float32)), _file)
    _file.seek(0)
    torch.export.load(_file).module()
