"""The model card of a bundle, in Markdown. It holds figures and names, never a sample of the data.

References:
    Mitchell et al., Model Cards for Model Reporting, Conference on Fairness, Accountability and Transparency, 2019.
"""

import json
import re
from importlib import resources

import jinja2

from steelyard.core.candidate import steps_text
from steelyard.core.outcome import Outcome
from steelyard.report import answer, explained, tables
from steelyard.report.formatting import cleaned

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~!$])")


def render(outcome: Outcome) -> str:
    """The model card of the chosen point."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # The output is Markdown: `md` escapes what HTML and Markdown would read as markup.
        autoescape=False,  # noqa: S701
    )
    environment.filters["md"] = escaped
    source = (resources.files("steelyard.report") / "templates" / "MODEL_CARD.md.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        answer=answer,
        code=loading_code(outcome),
        compression=steps_text(outcome.chosen.steps),
        explained=explained,
        outcome=outcome,
        tables=tables,
    )


def loading_code(outcome: Outcome) -> str:
    """How to load the bundle, by the name of its directory: a card travels with it."""
    name = json.dumps(cleaned(outcome.bundle.name), ensure_ascii=False)
    return code_block(f"import steelyard\n\nmodel = steelyard.load({name})\nlabels = model.predict(x)", "python")


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: one line, no markup, no HTML."""
    return _SPECIAL.sub(r"\\\1", cleaned(text).replace("&", "&amp;")).replace("\\<", "&lt;").replace("\\>", "&gt;")


def code_block(text: str, language: str) -> str:
    """A fenced block whose fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
