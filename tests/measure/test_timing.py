"""Plans, batches and interleaving, with counters instead of clocks."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from steelyard.measure.timing import CALLS_PER_BLOCK, Plan, interleave, is_due, make_batches, plan_round, shuffled


@given(
    call_s=st.dictionaries(st.sampled_from("abcde"), st.floats(1e-6, 2.0), min_size=1),
    calls=st.integers(1, 500),
)
def test_a_plan_gives_every_model_its_calls_or_its_time(call_s, calls) -> None:
    rounds, plans = plan_round(call_s, calls=calls, block_s=0.002, cap_s=3.75)
    assert 16 <= rounds <= 64
    for key, seconds in call_s.items():
        total = plans[key].blocks * plans[key].calls
        assert plans[key].blocks <= rounds
        assert total >= calls or (total + plans[key].blocks) * seconds >= 3.75
        # Three calls a model is the least there is, whatever they take.
        assert total <= 3 or total * seconds <= 3.75 * 1.001
        assert plans[key].calls <= max(CALLS_PER_BLOCK, -(-calls // plans[key].blocks))


@given(rounds=st.integers(1, 64), blocks=st.integers(1, 64))
def test_blocks_are_spread_over_the_rounds(rounds, blocks) -> None:
    blocks = min(rounds, blocks)
    due = [index for index in range(rounds) if is_due(index, rounds, blocks)]
    assert len(due) == blocks
    assert max(np.diff([-1, *due]), default=1) <= -(-rounds // blocks)


def test_interleaving_measures_every_model_in_every_round_in_changing_order() -> None:
    log: list[str] = []
    runs = {name: (lambda x, name=name: log.append(name)) for name in "abc"}
    plans = {name: Plan(10, 2) for name in "abc"}
    blocks = interleave(runs, [np.zeros(1)], 10, plans, seed=1, note=lambda key: None)
    assert {key: [len(block) for block in value] for key, value in blocks.items()} == {n: [2] * 10 for n in "abc"}
    # Each block is one untimed call and two timed ones.
    orders = ["".join(log[start : start + 9 : 3]) for start in range(0, 90, 9)]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert len(set(orders)) > 1


def test_the_order_depends_on_the_seed_alone() -> None:
    def order(seed: int) -> list[str]:
        log: list[str] = []
        runs = {name: (lambda x, name=name: log.append(name)) for name in "abcd"}
        interleave(runs, [np.zeros(1)], 5, dict.fromkeys("abcd", Plan(5, 1)), seed=seed, note=lambda key: None)
        return log

    assert order(7) == order(7)
    assert order(7) != order(8)


@given(count=st.integers(1, 300), batch=st.integers(1, 40))
def test_batches_are_full_and_hold_only_given_rows(count, batch) -> None:
    rows = np.arange(count * 2, dtype=np.float32).reshape(count, 2)
    batches = make_batches(rows, batch)
    assert all(each.shape == (batch, 2) and each.flags.c_contiguous for each in batches)
    assert {tuple(row) for each in batches for row in each} <= {tuple(row) for row in rows}
    if batch <= count:
        assert np.array_equal(np.concatenate(batches), rows[: len(batches) * batch])


def test_named_rows_are_cut_at_the_same_places() -> None:
    rows = {"a": np.arange(6).reshape(6, 1), "b": np.arange(6) * 10}
    batches = make_batches(rows, 2)
    assert len(batches) == 3
    assert all((batch["a"][:, 0] * 10 == batch["b"]).all() for batch in batches)


def test_stacked_rows_are_fed_whole() -> None:
    rows = {"x": np.arange(12).reshape(3, 4), "mask": np.arange(12).reshape(3, 2, 2)}
    batches = make_batches(rows, 7, stacked=True)
    assert [(batch["x"].shape, batch["mask"].shape) for batch in batches] == [((4,), (2, 2))] * 3
    assert make_batches(np.arange(4).reshape(2, 2), 1, stacked=True)[1].tolist() == [2, 3]


def test_models_are_loaded_in_an_order_that_the_seed_fixes() -> None:
    models = list("abcdef")
    assert shuffled(models, 3) == shuffled(models, 3)
    assert sorted(shuffled(models, 4)) == models
    assert len({tuple(shuffled(models, seed)) for seed in range(10)}) > 5
