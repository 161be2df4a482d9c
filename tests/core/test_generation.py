"""A generation survives the way into JSON and back."""

import json

from steelyard.core.generation import Generation


def test_the_plain_form_is_the_inverse_of_reading_it():
    whole = Generation(3, 20, 4, 1, 0, -1.5, 0.25, 0.5, (("0123456789ab", 0.5), ("ba9876543210", -0.25)))
    empty = Generation(0, 8, 8, 8, 0, None, None, None)
    for each in (whole, empty):
        assert Generation.from_json(json.loads(json.dumps(each.to_json()))) == each
    assert whole.to_json()["hall"][0] == {"key": "0123456789ab", "fitness": 0.5}
