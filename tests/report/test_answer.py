"""The answer in sentences, word for word."""

from dataclasses import replace

from steelyard.core.goal import Goal
from steelyard.core.outcome import Deciding, Outcome
from steelyard.core.quantity import Quantity
from steelyard.report import answer


def test_headline_says_what_was_chosen_and_what_it_gains(certified: Outcome) -> None:
    assert answer.headline(certified) == (
        "The right size is cnn (depth 2, kernel 3, width 16), quantize: "
        "15.3 times smaller and 8.1 times faster than the reference."
    )


def test_a_latency_within_the_noise_is_not_called_faster(certified: Outcome) -> None:
    latency = certified.reference.metrics["latency_p50_s"]
    noisy = Quantity(latency.value * 0.98, "s", latency.value * 0.9, latency.value * 1.1, 4000)
    chosen = replace(certified.chosen, metrics={**certified.chosen.metrics, "latency_p50_s": noisy})
    assert answer.headline(replace(certified, chosen=chosen)).endswith(
        "15.3 times smaller than the reference, as fast as the reference within the noise."
    )


def test_headline_admits_a_larger_choice(certified: Outcome) -> None:
    size = Quantity.exact(1_232_600, "B")
    chosen = replace(certified.chosen, metrics={**certified.chosen.metrics, "size_bytes": size})
    assert "2.0 times larger" in answer.headline(replace(certified, chosen=chosen))


def test_the_reference_itself_can_be_the_answer(certified: Outcome) -> None:
    assert answer.headline(replace(certified, chosen=certified.reference)) == (
        "The right size is the reference itself, cnn (depth 2, kernel 3, width 64): nothing cheaper was good enough."
    )


def test_proof_sentence_of_a_certificate(certified: Outcome) -> None:
    assert answer.proof_sentence(certified) == (
        "certified: at 95 % confidence at most 0.02 worse in accuracy than the reference "
        "(at most 0.0143, seen 0.0028), 719 test rows, exact paired trinomial test."
    )
    assert answer.proof_remarks(certified) == ()


def test_groups_are_not_called_rows(certified: Outcome) -> None:
    grouped = replace(certified, drop=replace(certified.drop, n=80))
    assert "80 independent groups of test rows" in answer.proof_sentence(grouped)


def test_a_method_that_is_not_exact_says_so(certified: Outcome) -> None:
    loose = replace(certified, drop=replace(certified.drop, exact=False, method="bootstrap"))
    assert answer.proof_sentence(loose).endswith("719 test rows, paired BCa bootstrap.")
    assert answer.proof_remarks(loose) == (
        "The method is asymptotic: the confidence is approximate at this number of rows.",
    )


def test_an_estimate_says_that_it_is_no_proof_and_what_would_be(estimated: Outcome) -> None:
    assert answer.proof_sentence(estimated).startswith("estimated, not proved: the drop in accuracy was 0.0028")
    assert answer.proof_remarks(estimated) == (
        "About 1,359 test rows are expected to be enough for a proof.",
        "3 certificates were issued on these test rows; all hold together with a confidence of at least 85 %.",
    )


def test_misses_say_asked_and_got_in_the_right_unit(infeasible: Outcome) -> None:
    assert answer.miss_sentences(infeasible) == (
        "misses max-size: asked 1.00 kB, got 35.9 kB.",
        "misses max-latency: asked 1.00 µs, got unknown.",
    )


def test_marks_put_the_choice_first(certified: Outcome) -> None:
    assert answer.marks(certified, certified.chosen) == ("chosen", "front")
    assert answer.marks(certified, certified.reference) == ("reference",)


def test_the_direction_of_a_metric_is_read_from_its_drop(certified: Outcome) -> None:
    assert answer.is_higher_better(certified)
    assert not answer.is_higher_better(replace(certified, drop=replace(certified.drop, value=-0.0028)))
    assert not answer.is_higher_better(replace(certified, drop=replace(certified.drop, metric="rmse", value=None)))


def test_a_relative_drop_is_a_share_of_the_reference(certified: Outcome) -> None:
    relative = replace(certified, drop=replace(certified.drop, relative=True))
    ours = certified.chosen.metrics["accuracy"].value
    theirs = certified.reference.metrics["accuracy"].value
    assert answer.validation_drop(relative, certified.chosen) == (theirs - ours) / theirs


def test_commands_quote_a_path_with_blanks(certified: Outcome) -> None:
    assert answer.next_command(certified) == "steelyard predict '/data/steelyard-out/digits cnn' --data FILE"


def test_a_gain_of_less_than_a_tenth_is_said_as_a_share() -> None:
    assert str(answer.Gain("latency_p50_s", 0.97, "slower", is_clear=True)) == "3 % slower"
    assert str(answer.Gain("latency_p50_s", 1.24, "faster", is_clear=True)) == "1.2 times faster"


def test_the_spread_over_seeds_is_told_of_the_chosen_and_the_reference(certified):
    def seeded(point, mean, sd):
        figures = {"accuracy_seed_mean": Quantity(mean, "1", n=3), "accuracy_seed_sd": Quantity(sd, "1", n=3)}
        return replace(point, metrics={**point.metrics, **figures})

    assert answer.seed_remarks(certified) == ()
    chosen = seeded(certified.chosen, 0.95, 0.004)
    one = replace(certified, chosen=chosen, reference=chosen)
    name = answer.point_name(chosen)
    assert answer.proof_remarks(one) == (
        f"Accuracy on validation rows, mean ± sd: 95.0 % ± 0.4 % over 3 seeds ({name}).",
    )
    two = replace(one, reference=seeded(certified.reference, 0.96, 0.002))
    assert answer.seed_remarks(two) == (
        f"Accuracy on validation rows, mean ± sd: 95.0 % ± 0.4 % over 3 seeds ({name}); "
        f"96.0 % ± 0.2 % over 3 seeds ({answer.point_name(certified.reference)}).",
    )


def test_what_decided_is_told_where_limits_were_asked_for(certified: Outcome) -> None:
    small = Deciding("max_size", 250_000.0, "B", 3, "0a1b", "cnn (width 64)", 1.5)
    proof = Deciding("proof", 0.95, "1", 1, "0a1c", "mlp (width 50)", 2.04)
    asked = replace(certified, scenario="microcontroller")
    assert answer.deciding_remarks(certified) == ()
    assert answer.deciding_remarks(asked) == ("Scenario microcontroller: no limit decided; nothing cheaper was found.",)
    assert answer.deciding_remarks(replace(asked, decided=(small, proof))) == (
        "Scenario microcontroller: max-size of 250 kB decided: without it cnn (width 64) would be 1.5 times cheaper; "
        "the proof at 95 % decided: without it mlp (width 50) would be 2.0 times cheaper.",
    )


def test_what_stood_in_the_way_is_told_where_nothing_meets_the_goal(certified: Outcome) -> None:
    limited = replace(certified, status="infeasible", goal=Goal(max_size_bytes=1e3))
    small = Deciding("max_size", 1e3, "B", 3, "0a1b", "cnn (width 64)", 1.5)
    assert answer.deciding_remarks(limited) == (
        "no single limit stood in the way; every candidate misses two or more.",
    )
    assert answer.deciding_remarks(replace(limited, decided=(small,))) == (
        "max-size of 1.00 kB decided: cnn (width 64) meets everything else.",
    )
