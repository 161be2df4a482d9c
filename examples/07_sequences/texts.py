"""Your own texts: a table with a column of text becomes a model that takes texts."""

import json
import random
import tempfile
from pathlib import Path

import steelyard
from steelyard import Budget, Goal

ASKED = {
    "card": ["my card has not come", "the card was declined", "I lost my card", "freeze my card please"],
    "transfer": ["the transfer is late", "cancel my transfer", "send money abroad", "money never arrived"],
    "rate": ["what is the exchange rate", "how much is a pound", "the rate looks wrong", "convert to euros"],
}


def write_questions(path: Path, rows: int = 300) -> None:
    """Questions to a bank, a JSON object a line."""
    chance = random.Random(0)
    with path.open("w", encoding="utf-8") as stream:
        for _ in range(rows):
            intent = chance.choice(list(ASKED))
            words = f"{chance.choice(['hi', 'hello', 'please', ''])} {chance.choice(ASKED[intent])}".split()
            kept = [word for word in words if chance.random() > 0.1]
            stream.write(json.dumps({"text": " ".join(kept), "label": intent}) + "\n")


with tempfile.TemporaryDirectory() as folder:
    data = Path(folder) / "questions.jsonl"
    write_questions(data)
    outcome = steelyard.find(
        "text-classification",
        data=str(data),
        model="linear,cnn1d",
        goal=Goal(max_drop=0.1),
        budget=Budget(wall_s=None, trials=4),
        knobs={"vocabulary": ("char", "word"), "depth": (1,), "width": (8,), "kernel": (3,), "ngrams": (1,)},
        epochs=3,
        out=Path(folder) / "questions",
    )
    print(outcome.status, outcome.chosen.candidate)

    model = steelyard.load(outcome.bundle)
    print(model.predict(["where is my card?", ""]))
