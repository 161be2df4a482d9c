"""Boundaries: gaps are told from cuts through what is one."""

import numpy as np
from scipy.spatial.distance import cdist

from steelyard.statistics.boundaries import MOST, Links


def links(points):
    return Links.of(cdist(points, points))


def test_a_gap_is_no_cut_at_all():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(0, 1, (60, 2)), rng.normal(20, 1, (60, 2))])
    assert links(points).boundary(np.repeat([0, 1], 60)) == 0.0


def test_half_of_one_cluster_is_cut_off_no_more_cheaply_than_its_halves():
    points = np.random.default_rng(1).normal(size=(150, 2))
    assert links(points).boundary((points[:, 0] > 0).astype(np.int64)) > 0.5


def test_crescents_are_parted_where_they_are_and_not_where_centres_part_them():
    angle = np.linspace(0, np.pi, 100)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = np.concatenate([upper, [1.0, 0.5] - upper]) + np.random.default_rng(2).normal(0, 0.03, (200, 2))
    graph = links(points)
    assert graph.boundary(np.repeat([0, 1], 100)) == 0.0
    # Halves of both crescents are clusters in two parts.
    assert graph.boundary((points[:, 0] > 0.5).astype(np.int64)) == MOST


def test_points_of_no_cluster_are_left_out_and_one_cluster_has_no_boundary():
    points = np.random.default_rng(3).normal(size=(40, 2))
    assert links(points).boundary(np.zeros(40, dtype=np.int64)) == 1.0
    assert links(points).boundary(np.where(np.arange(40) < 20, 0, -1)) == 1.0
