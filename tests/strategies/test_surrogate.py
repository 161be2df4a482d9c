"""The surrogate: it interpolates, admits what it does not know, and learns a planted function."""

import numpy as np

from steelyard.strategies.surrogate import predict


def planted(count, seed):
    rng = np.random.default_rng(seed)
    inputs = rng.random((count, 4))
    return inputs, np.column_stack([np.sin(3 * inputs[:, 0]) + inputs[:, 1] ** 2, 1000.0 * inputs[:, 2] + 7])


def test_a_planted_function_is_learned_with_an_honest_error():
    inputs, outputs = planted(80, 0)
    queries, truth = planted(300, 1)
    told = predict(inputs, outputs, queries)
    error = told.means - truth
    assert np.all(error.std(axis=0) < 0.1 * truth.std(axis=0))
    assert np.all(np.abs(error / told.deviations).mean(axis=0) < 1.5)


def test_what_is_known_is_told_again():
    inputs, outputs = planted(60, 0)
    told = predict(inputs, outputs, inputs)
    np.testing.assert_allclose(told.means, outputs, atol=0.05 * outputs.std(axis=0).max(), rtol=0.05)


def test_units_of_the_outputs_do_not_matter():
    inputs, outputs = planted(30, 0)
    queries, _ = planted(20, 1)
    plain, scaled = predict(inputs, outputs, queries), predict(inputs, 1e-6 * outputs - 5, queries)
    np.testing.assert_allclose(scaled.means, 1e-6 * plain.means - 5, rtol=1e-9)
    np.testing.assert_allclose(scaled.deviations, 1e-6 * plain.deviations, rtol=1e-4)


def test_far_from_what_is_known_the_error_is_larger():
    inputs, outputs = planted(60, 0)
    told = predict(inputs, outputs, np.array([[0.5, 0.5, 0.5, 0.5], [5.0, -5.0, 5.0, -5.0]]))
    assert np.all(told.deviations[1] > 3 * told.deviations[0])


def test_one_point_is_enough_and_equal_ones_are_no_trouble():
    one = predict(np.zeros((1, 2)), np.array([[3.0]]), np.ones((2, 2)))
    np.testing.assert_allclose(one.means, 3.0)
    assert np.all(one.deviations > 0)
    same = predict(np.zeros((5, 2)), np.full((5, 1), 3.0), np.ones((2, 2)))
    np.testing.assert_allclose(same.means, 3.0)


def test_an_error_of_another_prediction_is_believed_to_lie_about_zero():
    inputs = np.linspace(0, 1, 3)[:, None]
    told = predict(inputs, np.full((3, 1), 0.2), np.array([[0.5], [50.0]]), residual=0.1)
    assert told.means[0, 0] > 0.1
    assert abs(told.means[1, 0]) < 0.1
