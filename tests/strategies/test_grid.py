from steelyard.core.candidate import Candidate, Scale, StepSetting
from steelyard.strategies.grid import GRID
from steelyard.testing.fakes import FakeProblem, failed, fake_space


def test_the_grid_goes_first_knob_slowest_each_scale_uncompressed_first():
    space, finished, order = fake_space(widths=(8, 16)), [], []
    while (candidate := GRID.propose(space, finished, [], FakeProblem())) is not None:
        order.append((candidate.scale["depth"], candidate.scale["width"], len(candidate.steps)))
        finished.append(failed(len(finished), candidate))
    assert order == [(d, w, steps) for d in (1, 2) for w in (8, 16) for steps in (0, 1)]


def test_the_grid_fills_the_first_gap():
    space = fake_space()
    everything = list(space.candidates())
    finished = [failed(i, each) for i, each in enumerate(everything) if i not in (2, 5)]
    assert GRID.propose(space, finished, [everything[2]], FakeProblem()) == everything[5]
    assert GRID.propose(space, finished, [everything[2], everything[5]], FakeProblem()) is None
    assert everything[1] == Candidate("fake", Scale.of(depth=1, width=1), (StepSetting("fake"),))
