import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from steelyard.training.distillation import Distance, Teacher, evaluating
from steelyard.training.lesson import inputs_of


def scores(seed=0, shape=(8, 5)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(seed=st.integers(0, 99), temperature=st.floats(0.5, 20))
def test_a_distance_is_zero_from_itself_and_positive_from_another(seed, temperature):
    distance = Distance.of(scores(seed), temperature)
    assert float(distance(scores(seed), scores(seed))) == pytest.approx(0, abs=1e-5)
    assert float(distance(scores(seed + 1), scores(seed))) > 0


def test_the_divergence_is_that_of_its_definition():
    student, teacher, warmth = scores(1).double(), scores(2).double(), 3.0
    p, q = (np.exp(each.numpy() / warmth) for each in (teacher, student))
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    expected = warmth**2 * (p * np.log(p / q)).sum(1).mean()
    assert float(Distance("scores", warmth)(student, teacher)) == pytest.approx(expected)


def test_scores_may_be_shifted_by_a_constant():
    distance = Distance.of(scores())
    assert float(distance(scores() + 7, scores())) == pytest.approx(0, abs=1e-5)


def test_probabilities_are_compared_as_the_scores_they_come_from():
    student, teacher = scores(1), scores(2)
    plain = Distance.of(teacher, 4.0)
    made = Distance.of(teacher.softmax(-1), 4.0)
    assert (plain.kind, made.kind) == ("scores", "probabilities")
    assert float(made(student.softmax(-1), teacher.softmax(-1))) == pytest.approx(float(plain(student, teacher)), 1e-4)


def test_places_of_a_sequence_count_like_rows():
    student, teacher = scores(1, (2, 6, 5)), scores(2, (2, 6, 5))
    distance = Distance.of(teacher)
    flat = distance(student.flatten(0, 1), teacher.flatten(0, 1))
    assert float(distance(student, teacher)) == pytest.approx(float(flat))


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e6])
def test_values_are_compared_without_their_unit(unit):
    teacher = scores(0, (50, 1)) * unit
    distance = Distance.of(teacher)
    assert distance.kind == "values"
    assert float(distance(teacher.mean().expand(50, 1), teacher)) == pytest.approx(1, rel=1e-4)


def test_a_teacher_is_asked_once_for_each_row():
    teacher = Teacher(nn.Linear(3, 2), 10)
    x = np.arange(30, dtype=np.float32).reshape(10, 3)
    for _ in range(3):
        for index in (np.array([1, 5, 7]), np.array([5, 2]), np.array([9, 0])):
            wanted = teacher.module(torch.from_numpy(x[index]))
            assert torch.allclose(teacher(inputs_of(x[index]), index), wanted)
    assert teacher.asked == 6


def test_a_teacher_whose_outputs_do_not_fit_is_asked_anew():
    teacher = Teacher(nn.Linear(3, 2), 10, most_bytes=79)
    x = np.ones((4, 3), dtype=np.float32)
    for _ in range(2):
        assert teacher(inputs_of(x), np.arange(4)).shape == (4, 2)
    assert teacher.asked == 8


def test_each_part_gets_its_own_mode_back():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2).eval())
    with evaluating(module):
        assert not any(part.training for part in module.modules())
    assert [part.training for part in module.modules()] == [True, True, False]
