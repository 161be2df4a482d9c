"""The design first, then the ladder that it gives; the contract is tested with all strategies."""

import itertools
import math

import pytest

from steelyard.core.candidate import FamilySpace, Knob, Scale, Space, StepSetting
from steelyard.strategies.compound import COMPOUND, design, growing, rungs
from steelyard.testing.fakes import FakeProblem, failed, measured

FAMILY = FamilySpace(
    "cnn",
    (
        Knob("depth", (1, 2, 3)),
        Knob("width", (4, 8, 16, 32)),
        Knob("kernel", (3, 5)),
        Knob("resolution", (14, 20, 28)),
    ),
)
SPACE = Space((FAMILY,), ((), (StepSetting("quantize"),)))


def quality(scale):
    return 1 - 0.005 * math.exp(0.7 / scale["depth"] + 4 / scale["width"] + 4 * scale["resolution"] ** -0.6)


def walk(space, ending):
    """Everything that is proposed, one after the other."""
    finished = []
    while (candidate := COMPOUND.propose(space, finished, [], FakeProblem())) is not None:
        finished.append(ending(len(finished), candidate))
    return [trial.candidate for trial in finished]


def succeeds(number, candidate):
    return measured(number, candidate, quality=quality(candidate.scale))


def settings(scale):
    return tuple(scale[name] for name in ("depth", "width", "resolution", "kernel"))


def test_the_design_is_the_middle_each_knob_at_its_ends_and_corners():
    assert [settings(scale) for scale in design(FAMILY)] == [
        (2, 8, 20, 3),
        (1, 8, 20, 3),
        (3, 8, 20, 3),
        (2, 4, 20, 3),
        (2, 32, 20, 3),
        (2, 8, 14, 3),
        (2, 8, 28, 3),
        (1, 4, 14, 3),
        (3, 32, 28, 3),
    ]


def test_two_knobs_are_designed_with_all_corners():
    family = FamilySpace("mlp", (Knob("depth", (1, 2, 3)), Knob("width", (16, 32, 64))))
    assert len(design(family)) == 9


def test_ladders_rise_in_every_knob_whatever_the_design_found():
    for losses in ([], [(scale, -quality(scale)) for scale in design(FAMILY)]):
        found = sorted(settings(scale) for scale in rungs(FAMILY, losses, 0))
        assert found[0] == (1, 4, 14, 3)
        assert found[-1] == (3, 32, 28, 3)
        assert all(all(a <= b for a, b in zip(one, two, strict=True)) for one, two in itertools.pairwise(found))


def test_what_the_design_found_decides_the_ladder():
    def only(knob):
        return [(scale, -1 + 1 / scale[knob]) for scale in design(FAMILY)]

    assert settings(rungs(FAMILY, only("width"), 0)[2]) == (2, 16, 20, 3)
    assert settings(rungs(FAMILY, only("depth"), 0)[2]) == (3, 8, 20, 3)


def test_the_design_comes_first_then_rungs_in_every_form_and_the_largest():
    proposed = walk(SPACE, succeeds)
    first = [candidate.scale for candidate in proposed[:9]]
    assert first == list(design(FAMILY))
    assert all(not candidate.steps for candidate in proposed[:9])
    ladder = rungs(FAMILY, [(scale, -quality(scale)) for scale in design(FAMILY)], 0)
    allowed = {*ladder, *design(FAMILY), FAMILY.largest}
    assert {candidate.scale for candidate in proposed} == allowed
    assert proposed[9].scale == ladder[0]
    assert proposed[9].steps == (StepSetting("quantize"),)
    assert [(each.scale, len(each.steps)) for each in proposed[-2:]] == [(FAMILY.largest, 0), (FAMILY.largest, 1)]
    assert len(proposed) < SPACE.size / 4


def test_it_waits_for_the_design():
    first = COMPOUND.propose(SPACE, [], [], FakeProblem())
    others = [
        measured(at, each, quality=0.5) for at, each in enumerate(SPACE.candidates()) if each.scale != first.scale
    ]
    assert COMPOUND.propose(SPACE, others, [first], FakeProblem()) is None


def test_a_design_that_fails_leaves_a_ladder_of_equal_shares():
    proposed = walk(SPACE, failed)
    assert {settings(each.scale) for each in proposed} >= {settings(scale) for scale in rungs(FAMILY, [], 0)}


@pytest.mark.parametrize(
    ("knobs", "names"),
    [
        ((Knob("width", (8, 4)), Knob("depth", (1,))), [("width", (4, 8))]),
        ((Knob("width", ("s", "l")), Knob("resolution", (0, 8))), []),
        ((Knob("kind", ("a", "b")),), []),
    ],
)
def test_only_numbers_above_zero_with_a_choice_grow(knobs, names):
    assert [(knob.name, knob.choices) for knob in growing(FamilySpace("own", knobs))] == names


def test_a_family_without_such_knobs_is_tried_at_its_middle_and_its_largest():
    space = Space((FamilySpace("linear", (Knob("features", (2, 4, 8)),)),))
    assert [each.scale for each in walk(space, lambda at, each: measured(at, each, quality=0.5))] == [
        Scale.of(features=4),
        Scale.of(features=8),
    ]
