"""Which knobs a file can be cut along."""

import numpy as np
import pytest

from steelyard.builtin import registry
from steelyard.core.candidate import FamilySpace
from steelyard.elastic.supernet import Supernet
from steelyard.engine.subnets import SubnetFiles
from steelyard.testing.fakes import FakeTask

CUT = {"efficientnet": ["width"], "lenet": ["dense", "width"], "mobilenetv2": ["expansion", "width"]}


@pytest.mark.parametrize("name", CUT)
def test_knobs_that_change_more_than_sizes_are_not_cut_even_where_outputs_are_all_alike(name, tmp_path):
    task, family = FakeTask.image(), registry.get("family", name)

    def build(scale):
        model = family.build(scale, task, 0)
        last = list(model.body.parameters())[-2:]
        for each in last:
            each.data.zero_()
        return model

    space = FamilySpace(name, family.knobs(task))
    net = Supernet(build, [space.largest])
    files = SubnetFiles(net, space, task.train.x[:4].astype(np.float32), tmp_path)
    files.written(space.smallest, net.extracted(space.smallest).eval())
    assert files.told()["knobs"] == CUT[name]
