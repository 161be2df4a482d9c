import pytest

from steelyard.core.outcome import Miss
from steelyard.select.explain import Standing, reason
from steelyard.select.order import Certified
from steelyard.select.proof import Proof


def proof(rejected, applicable=True):
    why = "" if applicable else "a BCa bootstrap needs at least 500 rows, got 12."
    return Proof(0.0, 0.0, 0.012 if rejected else 0.31, rejected, applicable, "trinomial", True, 719, why)


CERTIFIED = Certified(("a", "b", "c", "d"), {"a": proof(True), "b": proof(True), "c": proof(False)}, ("a", "b"), "c")


def say(standing, certified=CERTIFIED, status="certified"):
    return reason(standing, chosen="b", status=status, certified=certified, epsilon=0.01)


@pytest.mark.parametrize(
    ("standing", "sentence"),
    [
        (Standing("b"), "Chosen: the lowest latency of 2 proved to lose less than permitted (p = 0.012, n = 719)."),
        (Standing("r", is_reference=True), "It is the reference: every drop is measured against it."),
        (Standing("z", is_baseline=True), "It is the baseline, there to compare with."),
        (
            Standing("x", misses=[Miss("max_latency", 0.01, 0.0123, "s"), Miss("max_energy", 0.5, None, "J")]),
            "Not chosen: its p95 latency of 12.3 ms misses the limit of 10 ms and "
            "its energy is unknown, where the limit is 500 mJ.",
        ),
        (
            Standing("x", misses=[Miss("max_size", 1e6, 2.5e6, "B"), Miss("max_drop", 0.01, 0.02, "1")]),
            "Not chosen: its size of 2.5 MB misses the limit of 1 MB and its drop of 0.02 misses the limit of 0.01.",
        ),
        (Standing("a", dearer_by=0.4), "Proved too, but its latency is 40% higher than the chosen one's."),
        (
            Standing("a", dearer_by=0.0),
            "Proved too, but its latency is the same and its file no smaller than the chosen one's.",
        ),
        (Standing("a", dearer_by=-0.01), "Proved too, but its latency and size together rank behind the chosen one's."),
        (
            Standing("c"),
            "Not proved: its drop may be as large as permitted or larger (p = 0.31, n = 719).",
        ),
        (Standing("d"), "Not tested: it stands behind c, the first that could not be proved."),
        (
            Standing("x", dominated_by="a"),
            "Not chosen: a is no worse in quality and latency, and better in one of them.",
        ),
        (Standing("x", drop=0.02), "Not chosen: it loses 0.02 on the validation rows; 0.01 is permitted."),
        (Standing("x", drop=0.0, dearer_by=0.5), "Not chosen: its latency is 50% higher than the chosen one's."),
        (Standing("x"), "Not chosen: it was not among the candidates tested."),
    ],
)
def test_every_point_has_its_sentence(standing, sentence):
    assert say(standing) == sentence


def test_single_proof_says_so():
    alone = Certified(("b",), {"b": proof(True)}, ("b",), None)
    assert say(Standing("b"), alone) == "Chosen: the only one proved to lose less than permitted (p = 0.012, n = 719)."


def test_estimated_choice_says_that_it_is_not_proved():
    assert say(Standing("b"), None, "estimated") == (
        "Chosen by the validation rows: the lowest latency within the permitted drop; not proved."
    )


def test_infeasible_choice_says_what_it_misses():
    standing = Standing("b", misses=[Miss("min_quality", 0.9, 0.8, "1")])
    assert say(standing, None, "infeasible") == (
        "Nearest to the goal, which nothing meets: its quality of 0.8 misses the limit of 0.9."
    )


def test_method_that_does_not_apply_says_why():
    few = Certified(("c",), {"c": proof(False, applicable=False)}, (), "c")
    assert say(Standing("c"), few) == "Not proved: a BCa bootstrap needs at least 500 rows, got 12."


def test_quality_that_is_not_proved_says_so():
    both = Certified(("c",), {"c": proof(True)}, (), "c", {"c": proof(False)})
    assert say(Standing("c"), both) == "Not proved: its quality may lie beyond the one asked for (p = 0.31)."
