import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.task import ImageInput
from steelyard.families.ranges import feature_count, hidden_widths, resolutions
from steelyard.testing.fakes import FakeTask


def image(height, width=8, channels=1):
    task = FakeTask.image(rows=1)
    spec = ImageInput(height, width, channels, "hwc", (0.0,) * channels, (1.0,) * channels)
    return FakeTask(task.name, task.kind, spec, task.output, task.train, task.valid, task.test, task.metric)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 3))
def test_hidden_widths_are_five_powers_of_two_ending_near_twice_the_features(height, width, channels):
    widths = hidden_widths(image(height, width, channels))
    assert len(widths) == 5
    assert all(math.log2(each).is_integer() for each in widths)
    assert [big / small for small, big in itertools.pairwise(widths)] == [2.0] * 4
    wanted = min(512, max(64, 2 * height * width * channels))
    assert wanted / math.sqrt(2) - 1 <= widths[-1] <= wanted * math.sqrt(2) + 1


@given(st.integers(8, 300))
def test_resolutions_go_from_half_to_full(height):
    heights = resolutions(image(height))
    assert heights == tuple(sorted(set(heights)))
    assert (heights[0], heights[-1]) == (height // 2, height)


@pytest.mark.parametrize(
    ("height", "expected"), [(4, ()), (7, ()), (8, (4, 8)), (15, (7, 15)), (16, (8, 12, 16)), (28, (14, 20, 28))]
)
def test_resolutions_of_known_sizes(height, expected):
    assert resolutions(image(height)) == expected


def test_tables_have_no_resolution():
    assert resolutions(FakeTask.table()) == ()


def test_features_are_counted_as_the_model_sees_them():
    assert feature_count(FakeTask.image(height=12, channels=3)) == 432
    assert feature_count(FakeTask.table()) == 2 + 1 + 3 + 2
    assert feature_count(FakeTask.values()) == 10
