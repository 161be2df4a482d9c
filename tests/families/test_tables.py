import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.families.bins import Bins, bins_offered
from steelyard.families.tables import aggregated, below_the_best, clustered, packed, write_table
from steelyard.testing.fakes import FakeTask

SEEDS = st.integers(0, 2**31 - 1)
SHAPES = st.tuples(st.integers(1, 40), st.integers(2, 5))


def drawn(shape, seed, levels=None):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) if levels is None else rng.integers(0, levels, shape).astype(float)


def run(path, x):
    session = onnxruntime.InferenceSession(str(path))
    return session.run(None, {"x": np.asarray(x, dtype=np.float32)})[0]


@given(SHAPES, SEEDS, st.sampled_from([15, 255]), st.sampled_from([None, 3]))
def test_levels_keep_which_actions_are_the_best(shape, seed, most, levels):
    table = drawn(shape, seed, levels)
    found, step = below_the_best(table, most)
    assert np.array_equal(found == 0, table == table.max(axis=1, keepdims=True))
    behind = table.max(axis=1, keepdims=True) - table
    assert (np.abs(found * step - behind) <= step * (1 + 1e-6)).all()


@given(SHAPES, SEEDS, st.integers(1, 12))
def test_states_that_share_a_row_have_the_same_best_action(shape, seed, rows):
    table = drawn(shape, seed)
    kept, index = aggregated(table, np.ones(len(table)), rows=rows)
    assert np.array_equal(kept[index].argmax(axis=1), table.argmax(axis=1))
    assert len(kept) <= max(rows, shape[1])


def test_like_states_share_a_row_before_others_do():
    table = np.array([[1.0, 0.0], [1.1, 0.0], [9.0, 0.0], [9.1, 0.0], [0.0, 1.0]])
    kept, index = aggregated(table, np.array([1, 3, 1, 1, 1]), rows=3)
    assert index.tolist()[0] == index.tolist()[1] != index.tolist()[2] == index.tolist()[3]
    assert kept[index[0]].tolist() == [pytest.approx(1.075), 0.0]


def test_as_many_centres_as_rows_are_the_rows():
    rows = drawn((6, 2), 0)
    centres, own = clustered(rows, np.ones(6), 6)
    assert np.array_equal(centres[own], rows)


@given(
    SEEDS,
    st.sampled_from([(7,), (3, 4), (2, 3, 3)]),
    st.integers(2, 5),
    st.tuples(st.sampled_from([4, 8, 32]), st.integers(2, 40)),
)
def test_a_file_decides_as_the_table_does(tmp_path_factory, seed, sizes, actions, stored):
    bits, rows = stored
    rng = np.random.default_rng(seed)
    bins = Bins(tuple(size / 4 for size in sizes), tuple(size / 2 for size in sizes), sizes)
    table = rng.normal(size=(bins.count, actions))
    path = tmp_path_factory.mktemp("table") / "model.onnx"
    write_table(packed(table, np.ones(bins.count), rows=rows, bits=bits), bins, path)
    x = rng.normal(0, 2, (30, len(sizes))).astype(np.float32)
    x[:10] = (np.arange(10)[:, None] % np.array(sizes) - np.array(sizes) / 2) * 4 / np.array(sizes)  # on the edges
    wanted = table[bins.states(x)]
    got = run(path, x)
    assert got.shape == wanted.shape
    assert np.array_equal(got.argmax(axis=1), wanted.argmax(axis=1))
    if bits == 32 and rows >= bins.count:
        assert np.allclose(got, wanted)


def test_whatever_a_row_holds_the_file_stays_within_its_table(tmp_path):
    bins = Bins((1.0, 2.0), (0.0, 1.0), (3, 4))
    write_table(packed(drawn((12, 2), 0), np.ones(12), rows=12, bits=8), bins, tmp_path / "model.onnx")
    odd = [[np.nan, 0], [np.inf, -np.inf], [1e30, -1e30], [-5, 9]]
    assert np.isfinite(run(tmp_path / "model.onnx", odd)).all()


def test_fewer_bits_and_rows_make_smaller_files(tmp_path):
    bins, table = Bins((1.0,), (0.0,), (500,)), drawn((500, 6), 0)
    sizes = {}
    for rows, bits in ((500, 32), (500, 8), (500, 4), (16, 4)):
        path = tmp_path / f"{rows}-{bits}.onnx"
        write_table(packed(table, np.ones(500), rows=rows, bits=bits), bins, path)
        sizes[rows, bits] = path.stat().st_size
    assert sizes[500, 32] > 3 * sizes[500, 8] > 3 * 1.6 * sizes[500, 4] > 3 * 1.6 * sizes[16, 4]


@given(SEEDS, st.integers(1, 12))
def test_the_state_of_a_row_is_the_same_by_itself_and_among_others(seed, bins):
    task = FakeTask.values(features=3, rows=20, seed=seed % 5)
    found = Bins.of(task, bins)
    rows = np.random.default_rng(seed).normal(5, 4, (10, 3))
    states = found.states(rows)
    assert states.tolist() == [found.finder()(row) for row in rows.tolist()]
    assert states.min() >= 0
    assert states.max() < found.count == bins**3


def test_categories_have_a_bin_for_each_code_and_numbers_reach_to_the_range_that_was_seen():
    task = FakeTask.table()
    found = Bins.of(task, 4)
    assert found.sizes == (4, 4, 4, 3)


def test_bins_are_offered_while_the_table_stays_small():
    assert bins_offered(FakeTask.values(features=2)) == (4, 6, 8, 12, 16, 24, 32)
    assert bins_offered(FakeTask.values(features=4)) == (4, 6, 8, 12)
    assert bins_offered(FakeTask.values(features=9)) == ()
    assert bins_offered(FakeTask.table())[0] == 4
