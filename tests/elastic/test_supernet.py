"""Sub-networks are views of one set of weights."""

import math

import pytest
import torch
from torch import nn

from steelyard.builtin import registry
from steelyard.core.candidate import FamilySpace, Knob, Scale
from steelyard.core.errors import InputError, WorkerError
from steelyard.elastic.sandwich import Course, cycle, train_supernet
from steelyard.elastic.supernet import Member, Supernet
from steelyard.families.own import Own
from steelyard.testing.fakes import FakeTask

TASK = FakeTask.image()
SPACES = {
    "cnn": (Knob("depth", (1, 2)), Knob("width", (2, 4)), Knob("kernel", (3, 5)), Knob("resolution", (4, 8))),
    "resnet": (Knob("depth", (1, 2)), Knob("width", (2, 4)), Knob("resolution", (4, 8))),
    "mobilenetv2": (Knob("depth", (1, 2)), Knob("expansion", (2, 3)), Knob("width", (2, 4))),
    "efficientnet": (Knob("depth", (1, 2)), Knob("kernel", (3, 5)), Knob("width", (2, 4))),
    "squeezenet": (Knob("depth", (1, 2)), Knob("width", (8, 16)), Knob("resolution", (4, 8))),
    "vit": (Knob("depth", (1, 2)), Knob("heads", (1, 2)), Knob("width", (8, 16)), Knob("resolution", (4, 8))),
    "mlp": (Knob("depth", (1, 2, 3)), Knob("width", (4, 8))),
}


def supernet(name: str, task=TASK) -> Supernet:
    family = registry.get("family", name)
    scales = sorted(FamilySpace(name, SPACES[name]).scales(), key=lambda scale: tuple(scale.to_json().values()))
    return Supernet(lambda scale: family.build(scale, task, 0), scales[::-1])


@pytest.mark.parametrize("name", SPACES)
def test_every_sub_network_gives_what_its_extracted_model_gives(name):
    net = supernet(name)
    for scale in net.scales:
        member, model = net.member(scale), net.extracted(scale)
        x = torch.randn(5, *model.front.shape)
        member.model.body.eval()
        model.body.eval()
        with torch.no_grad():
            torch.testing.assert_close(member(x), model.body(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SPACES)
def test_training_a_small_one_changes_the_large_one(name):
    net = supernet(name)
    small, large = net.member(net.scales[-1]), net.member(net.scales[0])
    small(torch.randn(4, *small.model.front.shape)).sum().backward()
    touched = {key for key, entry in net.entries.items() if entry.value.grad is not None}
    assert touched & {entry.key for entry, _ in large.places.values()}


@pytest.mark.parametrize("name", ["resnet", "mlp"])
def test_where_names_stay_the_numbers_are_those_of_the_largest_alone(name):
    net = supernet(name)
    if name == "resnet":
        largest = sum(each.numel() for each in net.build(net.scales[0]).parameters())
        assert sum(each.numel() for each in net.parameters()) == largest
    assert all(0 < net.share(scale) <= 1 for scale in net.scales)
    assert net.share(net.scales[0]) == 1


def test_members_hold_no_weights_of_their_own():
    net = supernet("cnn")
    assert all(each.is_meta for each in net.member(net.scales[3]).model.body.parameters())


def test_tied_weights_stay_tied():
    class Tied(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(width, width), nn.Linear(width, width)
            self.two.weight = self.one.weight
            self.first, self.last = nn.Linear(10, width), nn.Linear(width, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.two(self.one(self.first(x))))

    task = FakeTask.values()
    family = Own("tied", Tied)
    net = Supernet(lambda scale: family.build(scale, task, 0), [Scale.of(width=6), Scale.of(width=3)])
    member, model = net.member(Scale.of(width=3)), net.extracted(Scale.of(width=3))
    assert model.body.two.weight is model.body.one.weight
    x = torch.randn(4, 10)
    torch.testing.assert_close(member(x), model.body(x))


@pytest.mark.parametrize("recurrent", [nn.LSTM, nn.GRU])
def test_recurrent_layers_run_on_views(recurrent):
    class Reader(nn.Module):
        def __init__(self, units: int) -> None:
            super().__init__()
            self.cells, self.last = recurrent(5, units, batch_first=True), nn.Linear(units, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.cells(x.reshape(len(x), 2, 5))[0][:, -1])

    task = FakeTask.values()
    family = Own("reader", Reader)
    net = Supernet(lambda scale: family.build(scale, task, 0), [Scale.of(units=6), Scale.of(units=3)])
    x = torch.randn(4, 10)
    model = net.extracted(Scale.of(units=3))
    torch.testing.assert_close(net.member(Scale.of(units=3))(x), model.body(x))


def test_a_model_without_weights_is_refused():
    with pytest.raises(InputError, match=r"^the model has no weights to share\.$"):
        Supernet(lambda _: registry.get("family", "baseline").build(Scale(), TASK, 0), [Scale()])


def test_models_with_nothing_in_common_are_refused():
    class Named(nn.Module):
        def __init__(self, kind: str) -> None:
            super().__init__()
            setattr(self, kind, nn.Linear(10, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return next(self.children())(x)

    family, task = Own("named", Named), FakeTask.values()
    with pytest.raises(InputError, match=r"^the models of the space share no weights\.$"):
        Supernet(lambda scale: family.build(scale, task, 0), [Scale.of(kind="one"), Scale.of(kind="two")])


def test_all_of_them_learn():
    net = supernet("mlp")
    course = Course(epochs=100, batch=16, limit_s=math.inf, seed=0)
    done = train_supernet(net, TASK.train, TASK.output, course)
    assert done.stopped == "epochs"
    assert done.largest_loss < 1.0
    assert done.smallest_loss < math.log(3)


def test_each_has_its_turn_before_any_has_its_second_and_the_largest_every_sixth_step():
    asked: list[Scale] = []

    class Heard(Supernet):
        def member(self, scale: Scale) -> Member:
            asked.append(scale)
            return super().member(scale)

    plain = supernet("mlp")
    net = Heard(plain.build, plain.scales)
    asked.clear()
    course = Course(epochs=4, batch=8, limit_s=math.inf, seed=0)
    done = train_supernet(net, TASK.train, TASK.output, course)
    assert len(asked) == done.steps
    assert set(asked[::6]) == {net.scales[0]}
    turns = [scale for at, scale in enumerate(asked) if at % 6]
    rounds = [turns[at : at + len(net.scales)] for at in range(0, len(turns), len(net.scales))]
    assert len(rounds) > 1
    assert all(len(set(each)) == len(each) for each in rounds)


def test_no_time_at_all_is_no_training():
    net = supernet("mlp")
    before = [each.detach().clone() for each in net.parameters()]
    done = train_supernet(net, TASK.train, TASK.output, Course(epochs=1, batch=16, limit_s=1e-9, seed=0))
    assert (done.steps, done.stopped) == (0, "time limit")
    assert all(torch.equal(one, other) for one, other in zip(before, net.parameters(), strict=True))


def test_a_training_that_always_diverges_is_a_failure():
    task = FakeTask.values()
    net = supernet("mlp", task)
    course = Course(epochs=2, batch=16, limit_s=math.inf, seed=0, rate=1e30)
    with pytest.raises(WorkerError, match=r"elastic training diverged 4 times, last at learning rate"):
        train_supernet(net, task.train, task.output, course)


def test_the_cycle_rises_and_falls():
    factors = [cycle(done / 100) for done in range(101)]
    top = factors.index(max(factors))
    assert factors[:top] == sorted(factors[:top])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert max(factors) <= 1
    assert min(factors) > 0
