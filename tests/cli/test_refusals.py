"""Bad input: one clear sentence, exit status 2, nothing written, one JSON object."""

import numpy as np
import pytest

from steelyard.tasks.metrics import DEFAULT_METRICS

PARSED = [
    (["fnd"], "usage", "command 'fnd' is not known; did you mean 'find'?", "command"),
    (["zzz"], "usage", "command 'zzz' is not known; `steelyard --help` shows what there is.", "command"),
    (
        ["find", "digits", "--max-drp", "1"],
        "usage",
        "option '--max-drp' is not known; did you mean '--max-drop'?",
        "max_drp",
    ),
    (
        ["find", "digits", "--zzzzzz"],
        "usage",
        "option '--zzzzzz' is not known; `steelyard find --help` shows what there is.",
        "zzzzzz",
    ),
    (["find", "digits", "--trials", "1.5"], "usage", "'trials' must be a whole number, got '1.5'.", "trials"),
    (["find", "digits", "--confidence=x"], "usage", "'confidence' must be a number, got 'x'.", "confidence"),
    (
        ["find", "digits", "more"],
        "usage",
        "'more' is one argument too many; `steelyard find --help` shows what there is.",
        None,
    ),
    (["report"], "usage", "'bundle' must be given; `steelyard report --help` shows what there is.", "bundle"),
]

GOAL = [
    (["--max-drop", "2"], "'max_drop' must be below 0.5 for accuracy, which lies in [0, 1], got 2; did you mean 2%?"),
    (
        ["--max-drop", "0.5"],
        "'max_drop' must be below 0.5 for accuracy, which lies in [0, 1], got 0.5; did you mean 0.5%?",
    ),
    (["--max-drop", "-1"], "'max_drop' must be a number of at least 0, such as 0.01 or 1%, got '-1'."),
    (["--max-drop", "nan"], "'max_drop' must be a number of at least 0, such as 0.01 or 1%, got 'nan'."),
    (["--max-drop", "abc"], "'max_drop' must be a number of at least 0, such as 0.01 or 1%, got 'abc'."),
    (["--confidence", "1"], "'confidence' must be at least 0.5 and below 1, got 1.0."),
    (["--confidence", "0"], "'confidence' must be at least 0.5 and below 1, got 0.0."),
    (["--min-quality", "nan"], "'min_quality' must be a finite number, got nan."),
    (["--min-quality", "95"], "'min_quality' must be at most 1, the best accuracy, got 95; did you mean 0.95?"),
    (["--min-quality", "2000"], "'min_quality' must be at most 1, the best accuracy, got 2000."),
    (["--max-latency-ms", "0"], "'max_latency_ms' must be a positive finite number, got 0.0."),
    (["--max-latency-ms", "-1"], "'max_latency_ms' must be a positive finite number, got -1.0."),
    (["--max-latency-ms", "nan"], "'max_latency_ms' must be a positive finite number, got nan."),
    (["--max-latency-ms", "inf"], "'max_latency_ms' must be a positive finite number, got inf."),
    (["--max-size-mb", "1e308"], "'max_size_mb' must be a positive finite number, got 1e+308."),
    (["--minimize", "speed"], "'minimize' must be one of latency, size, memory, energy, got 'speed'."),
    (["--budget", "60"], "'budget' must be a positive number with a unit (60s, 10m or 2h), got '60'."),
    (["--budget", "0s"], "'budget' must be a positive number with a unit (60s, 10m or 2h), got '0s'."),
    (["--budget", "-5m"], "'budget' must be a positive number with a unit (60s, 10m or 2h), got '-5m'."),
    (["--budget", "9999999h"], "'budget' must be at most a year (8760h), got 3.6e+10 s."),
    (["--trials", "0"], "'trials' must be at least 1, got 0."),
    (["--seed", "-1"], "'seed' must be between 0 and 2147483647, got -1."),
    (["--batch", "0"], "'batch' must be a whole number from 1 to 65536, got 0."),
    (["--learning-rate", "nan"], "'learning_rate' must be a positive finite number, got nan."),
]

NAMES = [
    (["--model", "mpl"], "unknown-name", "model 'mpl' is not known; did you mean 'mlp'?", "model"),
    (["--model", "cnn,mpl"], "unknown-name", "model 'mpl' is not known; did you mean 'mlp'?", "model"),
    (["--strategy", "tep"], "unknown-name", "strategy 'tep' is not known; did you mean 'tpe'?", "strategy"),
    (
        ["--strategy", "ga", "--strategy-option", "populaton=50"],
        "unknown-name",
        "option of ga 'populaton' is not known; did you mean 'population'?",
        "strategy_option",
    ),
    (
        ["--strategy", "ga", "--strategy-option", "weight_quality=0"],
        "input",
        "'weight_quality' must be a positive finite number, because a search for smallness alone ends at the smallest "
        "model, got 0.",
        "weight_quality",
    ),
    (
        ["--strategy", "grid", "--strategy-option", "population=50"],
        "input",
        "'strategy_option' must be left out for the strategy 'grid', which has none, got 'population'.",
        "strategy_option",
    ),
    (
        ["--strategy-option", "population"],
        "input",
        "'strategy_option' must be NAME=VALUE, such as population=50, got 'population'.",
        "strategy_option",
    ),
    (
        ["--strategy-option", "a=1", "--strategy-option", "a=2"],
        "input",
        "'strategy_option' a is given twice; give it once.",
        "strategy_option",
    ),
    (["--runtime", "onnx"], "unknown-name", "runtime 'onnx' is not known; did you mean 'onnxruntime'?", "runtime"),
    (["--optimizer", "adm"], "unknown-name", "optimizer 'adm' is not known; did you mean 'adam'?", "optimizer"),
    (
        ["--metric", "acuracy"],
        "unknown-name",
        "metric for image-classification 'acuracy' is not known; did you mean 'accuracy'?",
        "metric",
    ),
    (["--knob", "widht=10"], "unknown-name", "knob 'widht' is not known; did you mean 'width'?", "knob"),
    (["--knob", "thread=2"], "unknown-name", "knob 'thread' is not known; did you mean 'threads'?", "knob"),
    (
        ["--knob", "optimization=all"],
        "unknown-name",
        "knob 'optimization' is not known; did you mean 'optimisation'?",
        "knob",
    ),
    (
        ["--target", "label"],
        "input",
        "'target' names a column of --data, but 'digits' has data of its own; leave it out.",
        "target",
    ),
    (["--relative", "--absolute"], "input", "'relative' and 'absolute' exclude each other; give one.", "relative"),
    (
        ["--max-energy-mj", "1"],
        "input",
        "'max_energy' asks for energy, which a search does not measure; use latency, size or memory.",
        "max_energy",
    ),
    (
        ["--minimize", "energy"],
        "input",
        "'minimize' asks for energy, which a search does not measure; use latency, size or memory.",
        "minimize",
    ),
    (
        ["--preprocess", "a.py:f"],
        "input",
        "'preprocess' needs data of your own; a built-in task comes prepared, so give --data or leave it out.",
        "preprocess",
    ),
]

FORM = "'knob' must be NAME=V1,V2,…, such as width=10,50,100, got "
WHOLE = "'knob' width must be whole numbers from 1 to 65536, got "
KNOBS = [
    (["width"], f"{FORM}'width'."),
    (["width="], f"{FORM}'width='."),
    (["=3"], f"{FORM}'=3'."),
    (["width=0"], f"{WHOLE}0."),
    (["width=-3"], f"{WHOLE}-3."),
    (["width=abc"], f"{WHOLE}'abc'."),
    (["width=nan"], f"{WHOLE}'nan'."),
    (["width=1e9"], f"{WHOLE}1000000000.0."),
    (["width=10,10"], "'knob' width must have at least one choice, each once, got 10, 10."),
    (["width=10", "width=20"], "'knob' width is given twice; put all choices into one."),
    (["optimisation=disable"], "'knob' optimisation must be one of all, extended, basic, none, got 'disable'."),
    (["arena=1"], "'knob' arena must be one of true, false, got 1."),
    (["arena=true,True"], "'knob' arena must have at least one choice, each once, got True, True."),
]


@pytest.mark.parametrize(("argv", "kind", "message", "field"), PARSED)
def test_what_the_parser_refuses_is_a_sentence(refused, argv, kind, message, field):
    assert refused(*argv) == (kind, message, field)


@pytest.mark.parametrize(("options", "message"), GOAL)
def test_impossible_goals_and_budgets_are_refused(refused, options, message):
    field = options[0].removeprefix("--").replace("-", "_")
    assert refused("find", "digits", *options) == ("input", message, field)


@pytest.mark.parametrize(("options", "kind", "message", "field"), NAMES)
def test_unknown_names_and_contradictions_are_refused(refused, options, kind, message, field):
    assert refused("find", "digits", *options) == (kind, message, field)


@pytest.mark.parametrize(("texts", "message"), KNOBS)
def test_knobs_that_make_no_sense_are_refused(refused, texts, message):
    options = [part for text in texts for part in ("--knob", text)]
    assert refused("find", "digits", *options) == ("input", message, "knob")


@pytest.mark.parametrize("option", ["workers", "threads"])
@pytest.mark.parametrize("count", ["0", "100000"])
def test_more_processes_than_the_machine_bears_are_refused(refused, option, count):
    _, message, field = refused("find", "digits", f"--{option}", count)
    assert message.startswith(f"'{option}' must be a whole number from 1 to ")
    assert message.endswith(f", got {count}.")
    assert field == option


def test_tasks_and_kinds_are_told_apart(refused):
    assert refused("find") == (
        "input",
        "'task' must be named, such as digits; `steelyard list tasks` shows them.",
        "task",
    )
    assert refused("find", "digist") == ("unknown-name", "task 'digist' is not known; did you mean 'digits'?", "task")
    assert refused("find", "tabular-regression") == (
        "input",
        "'data' must name a file or folder for the kind 'tabular-regression'; give --data.",
        "data",
    )
    assert refused("find", "tabular-regresion", "--data", "a.csv") == (
        "unknown-name",
        "kind of task 'tabular-regresion' is not known; did you mean 'tabular-regression'?",
        "task",
    )
    assert refused("find", "digits", "--data", "a.csv") == (
        "input",
        f"'task' must be a kind ({', '.join(DEFAULT_METRICS)}) where --data is given; "
        "'digits' is a built-in task, which has data of its own.",
        "task",
    )


@pytest.mark.parametrize("path", ["missing.csv", ""])
def test_data_that_are_not_there_are_refused(refused, path):
    message = f"'data' must be a file or folder, got {path!r}, which does not exist; check the path."
    assert refused("find", "tabular-classification", "--data", path) == ("data", message, "data")


def test_a_family_that_can_not_take_the_data_is_refused(refused, tmp_path):
    rows = "\n".join(f"{i},{i % 7},{'ab'[i % 2]}" for i in range(100))
    (tmp_path / "table.csv").write_text(f"x,y,label\n{rows}\n", encoding="utf-8")
    assert refused("find", "tabular-classification", "--data", "table.csv", "--model", "cnn") == (
        "input",
        "'model' 'cnn' can't learn 'tabular-classification': it needs images; mlp and linear take tables.",
        "model",
    )


def test_pickled_arrays_are_never_loaded(refused, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, ("pwned", "w"))

    np.savez(tmp_path / "bad.npz", x=np.array([Bomb(), 1], dtype=object), y=np.array([0, 1]))
    kind, message, _ = refused("find", "image-classification", "--data", "bad.npz")
    assert kind == "data"
    assert message.startswith("'x' of bad.npz must be a plain array, but it holds pickled Python objects")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("file", "'out' must be a directory, got the file file; name another --out."),
        ("file/sub", "'out' file/sub can't be written (Not a directory); name another --out."),
        ("full", "'out' full is not empty and holds no study; name an empty or new directory."),
        ("/proc/steelyard", "'out' /proc/steelyard can't be written (No such file or directory); name another --out."),
    ],
)
def test_an_out_that_can_not_hold_a_study_is_refused(refused, tmp_path, out, message):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine", encoding="utf-8")
    assert refused("find", "digits", "--out", out) == ("study", message, "out")


def test_a_corrupt_study_is_refused(refused, tmp_path):
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "study.db").write_bytes(bytes(range(256)) * 20)
    kind, message, field = refused("find", "digits", "--out", "o")
    assert (kind, field) == ("study", "out")
    assert message.startswith("o/study.db is corrupt (")
    assert message.endswith("; restore it from a copy, or name another --out to start anew.")


@pytest.mark.parametrize("verb", ["report", "predict", "pack"])
def test_what_is_no_bundle_is_refused(refused, tmp_path, verb):
    rest = {"report": [], "predict": ["--data", "x.npz"], "pack": ["--point", "a", "--out", "b"]}[verb]
    assert refused(verb, "nothing", *rest) == (
        "bundle",
        "nothing holds no steelyard.json; is it a bundle's directory?",
        "bundle",
    )
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "steelyard.json").write_text("[]", encoding="utf-8")
    assert refused(verb, "broken", *rest)[0] == "bundle"


def test_list_suggests_its_shelves(refused, ask):
    assert refused("list", "nonsense") == (
        "unknown-name",
        "list 'nonsense' is not known; known: families, kinds, metrics, runtimes, scenarios, steps, strategies, tasks.",
        "what",
    )
    assert ask("list", "strategies", "--json").json == {
        "schema": 1,
        "strategies": ["elastic", "tpe", "nsga2", "random", "grid", "grow", "ga", "compound", "shrink"],
    }


def test_environments_that_can_not_be_played_in_are_refused(refused):
    kind = "reinforcement-learning"
    assert refused("find", kind) == (
        "input",
        "'data' must name an environment for the kind 'reinforcement-learning'; give --data.",
        "data",
    )
    assert refused("find", kind, "--data", "CartPole-v1", "--target", "x") == (
        "input",
        "'target' is about rows, and an environment has none; leave it out.",
        "target",
    )
    assert refused("find", "cartpole", "--model", "mlp") == (
        "input",
        "'model' 'mlp' can't learn 'cartpole': it learns from rows with answers; q-learning, sarsa and dqn learn by "
        "playing.",
        "model",
    )
    assert refused("find", "digits", "--model", "dqn") == (
        "input",
        "'model' 'dqn' can't learn 'digits': it learns by playing in an environment, and this task has rows with "
        "answers.",
        "model",
    )
