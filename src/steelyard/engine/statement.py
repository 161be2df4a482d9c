"""What is said before the search: what was read, where the scale starts, what can be proved."""

from steelyard.core.events import Event, Listener
from steelyard.engine.plan import Plan
from steelyard.select.samples import provable_floor


def introduce(plan: Plan, listen: Listener) -> None:
    """Say what was read from the task, the space, and what its test rows can prove."""
    listen(Event("fact", f"{plan.task.name}: {plan.task.split_how}"))
    for fact in plan.task.facts:
        listen(Event("fact", fact.text))
    if plan.given is not None:
        listen(Event("fact", what_is_tried(plan)))
    for family in plan.space.families if plan.given is None else ():
        knobs = "; ".join(f"{knob.name} {', '.join(map(str, knob.choices))}" for knob in family.knobs)
        listen(
            Event("fact", f"{family.family}: {knobs or 'a fixed scale'}; it starts at its largest, {family.largest}")
        )
    options = {name for choice in plan.space.options for name, _ in choice}
    if options:
        names = ", ".join(sorted(options))
        listen(Event("fact", f"{plan.space.runtime}: {len(plan.space.options)} choices of {names}, its defaults first"))
    listen(Event("fact", f"{plan.size} candidates in the space, searched by {plan.strategy.name}"))
    if not any(plan.space.pipelines) and any(each.is_module for each in plan.space.families):
        listen(Event("notice", f"steps work on ONNX files, which {plan.space.runtime} does not run: no step is tried"))
    listen(Event("fact", what_can_be_proved(plan)))


def what_is_tried(plan: Plan) -> str:
    """The steps that a model that is there already may go through, and in how many pipelines."""
    names = dict.fromkeys(step.name for pipeline in plan.space.pipelines for step in pipeline)
    tried = sum(bool(pipeline) for pipeline in plan.space.pipelines)
    name = ", ".join(each.family for each in plan.space.families)
    return f"{name}: as it is, and compressed by {', '.join(names)} in {tried} pipeline{'s' * (tried != 1)}"


def what_can_be_proved(plan: Plan) -> str:
    """The smallest drop that the test rows could ever prove, and whether the one asked for is above it."""
    n = provable_units(plan)
    floor = provable_floor(n, plan.goal.confidence)
    text = f"with {n} test rows nothing below {floor:.4f} can be proved at {100 * plan.goal.confidence:g}% confidence"
    if plan.metric.proof in ("trinomial", "disagreement") and plan.goal.max_drop < floor:
        return f"{text}, so a drop of at most {plan.goal.max_drop:g} can only be estimated, or a gain proved"
    return text


def provable_units(plan: Plan) -> int:
    """Independent units of the test split: groups where rows are grouped, else rows."""
    groups = plan.task.test.groups
    return len(plan.task.test) if groups is None else len(set(groups.tolist()))
