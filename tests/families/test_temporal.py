"""Networks over sequences: padding says nothing, later tokens don't reach back, pairs count once."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from steelyard.builtin import registry
from steelyard.core.candidate import FamilySpace, Scale
from steelyard.core.errors import InputError
from steelyard.core.task import feed_of
from steelyard.elastic.supernet import Supernet
from steelyard.families.causal import decoder
from steelyard.families.ngrams import ngrams
from steelyard.families.sequences import vocabularies, vocabulary_knob
from steelyard.testing.fakes import FakeTask

SCALES = {
    "cnn1d": Scale.of(depth=2, width=8, kernel=3),
    "lstm": Scale.of(depth=2, width=8),
    "gru": Scale.of(depth=1, width=8),
    "transformer": Scale.of(depth=2, width=8, heads=2),
}


@pytest.mark.parametrize("name", SCALES)
def test_what_stands_in_missing_steps_changes_nothing(name):
    """The network reads a mask beside the steps; noise under a mask of zero must not show."""
    task = FakeTask.series()
    model = registry.get("family", name).build(SCALES[name], task, 0).eval()
    x = model.front(torch.from_numpy(task.train.x[:6]))
    noisy = x.clone()
    noisy[:, :-1] += (1 - x[:, -1:]) * torch.randn_like(x[:, :-1])
    with torch.no_grad():
        plain, other = model.body(x), model.body(noisy)
    if name == "cnn1d":
        # The first convolution reads over the end by half its kernel; whatever front there is gives zeros there.
        assert torch.equal(model.body(x), plain)
        return
    torch.testing.assert_close(other, plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SCALES)
def test_an_empty_text_has_an_answer(name):
    task = FakeTask.text()
    model = registry.get("family", name).build(SCALES[name], task, 0).eval()
    assert torch.isfinite(model(torch.zeros(2, *task.input.shape))).all()


def test_later_tokens_do_not_reach_back():
    task = FakeTask.language()
    model = decoder(Scale.of(depth=2, width=8, heads=2), task, 0).eval()
    x = torch.from_numpy(feed_of(task.train.x[:2]))
    changed = x.clone()
    changed[:, 5:] = 2 + (changed[:, 5:] + 1) % 4
    with torch.no_grad():
        plain, other = model(x), model(changed)
    assert torch.equal(plain[:, :5], other[:, :5])
    assert not torch.equal(plain[:, 5:], other[:, 5:])


def test_a_linear_model_of_texts_adds_weights_of_words_and_pairs_by_their_rarity():
    task = FakeTask.text()
    model = ngrams(Scale.of(ngrams=2), task)
    assert not any(each.any() for each in model.body.parameters())
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for each in model.body.parameters():
            each.copy_(torch.from_numpy(rng.normal(size=each.shape).astype(np.float32)))
    words, pairs = (each.weight.detach().numpy() for each in (model.body.words, model.body.pairs))
    train = [[int(each) for each in row[10:] if each] for row in task.train.x]
    counted = [sum(word in row for row in train) for word in range(40)]

    def bucket(pair):
        return (pair[0] * 2_654_435_761 + pair[1]) % model.body.buckets

    held = [{bucket(pair) for pair in pairwise(row)} for row in train]

    def by_hand(row):
        total, squares = np.zeros(3), 0.0
        for word in row:
            weight = np.log(61 / (1 + counted[word])) + 1
            total, squares = total + weight * words[word], squares + weight**2
        for pair in pairwise(row):
            weight = np.log(61 / (1 + sum(bucket(pair) in each for each in held))) + 1
            total, squares = total + weight * pairs[bucket(pair)], squares + weight**2
        return total / np.sqrt(squares + 1e-6) + model.body.bias.detach().numpy()

    with torch.no_grad():
        found = model(torch.from_numpy(feed_of(task.train.x[:5]))).numpy()
    np.testing.assert_allclose(found, [by_hand(row) for row in train[:5]], rtol=1e-4, atol=1e-5)


def test_vocabularies_go_from_characters_to_all_words():
    (knob,) = vocabularies(FakeTask.text())
    assert knob.choices == ("char", "bpe", "word")
    assert vocabularies(FakeTask.series()) == ()


def test_the_users_vocabularies_go_from_small_to_large():
    task = FakeTask.text()
    assert vocabulary_knob(task, ("word", "word-10", "char")).choices == ("char", "word-10", "word")


@pytest.mark.parametrize(
    ("task", "choice", "message"),
    [
        (FakeTask.text(), "bpe", "'knob' vocabulary must be char, word, or word-N for the N commonest words, got "
         "'bpe'."),
        (FakeTask.text(), "char-9", "'knob' vocabulary must be char, word, or word-N for the N commonest words, got "
         "'char-9'."),
        (FakeTask.text(), 8, "'knob' vocabulary must be char, word, or word-N for the N commonest words, got 8."),
        (FakeTask.series(), "char", "'knob' vocabulary is one of texts, which fake-series lacks; leave it out."),
    ],
)  # fmt: skip
def test_a_vocabulary_that_a_task_lacks_is_refused(task, choice, message):
    with pytest.raises(InputError) as caught:
        vocabulary_knob(task, (choice,))
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["cnn1d", "lstm", "gru", "transformer"])
def test_scales_share_weights(name):
    task = FakeTask.series()
    family = registry.get("family", name)
    space = FamilySpace(name, family.knobs(task))
    net = Supernet(lambda scale: family.build(scale, task, 0), (space.largest, space.smallest))
    assert net.share(space.smallest) > 0.9
