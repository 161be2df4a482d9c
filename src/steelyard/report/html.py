"""One self-contained interactive page: no request leaves it, by construction and by its content security policy."""

import base64
import functools
import hashlib
from importlib import resources

import jinja2
import vl_convert

from steelyard.core.outcome import Outcome
from steelyard.core.wire import Plain, dumps
from steelyard.report import answer, charts, evolved, explained, scaled, shared, tables
from steelyard.report.definitions import Definition, definition
from steelyard.report.formatting import cleaned

_SNIPPET = "window.vegaEmbed = vegaEmbed;"


def render(outcome: Outcome) -> str:
    """The report of an outcome as one HTML file.

    Scripts and styles are inside the file; the policy lets only those scripts run, by their hashes, and lets nothing
    be loaded, so that text of the user can't run or call home even if it escaped its escaping.
    """
    drawn = charts.draw(outcome)
    page = _template("report.html.j2")
    scripts = (chart_library(), _resource("report.js")) if drawn.figures else ("", _resource("report.js"))
    return page.render(
        answer=answer,
        charts=drawn,
        definitions=_definitions(outcome),
        evolved=evolved,
        explained=explained,
        outcome=outcome,
        payload=script_json(
            {"data": drawn.data, "figures": {figure.key: figure.spec for figure in drawn.figures}},
        ),
        picks=_curve_names(drawn),
        policy=_policy(scripts),
        scaled=scaled,
        scripts=scripts,
        shared=shared,
        style=_resource("report.css"),
        tables=tables,
        title=f"{cleaned(outcome.task)}: {answer.point_name(outcome.chosen)}",
    )


@functools.cache
def chart_library() -> str:
    """Vega, Vega-Lite and vega-embed as one script, from the packages installed here; made once a process."""
    bundle: str = vl_convert.javascript_bundle(_SNIPPET)
    return bundle.replace("</script", r"<\/script").replace("<!--", r"<\!--")


def script_json(value: Plain) -> str:
    """JSON that is safe inside a script element: no character can end the element or start a comment."""
    text = dumps(value)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _policy(scripts: tuple[str, ...]) -> str:
    hashes = " ".join(f"'sha256-{_hash(script)}'" for script in scripts if script)
    rules = (
        "default-src 'none'",
        f"script-src {hashes}",
        "style-src 'unsafe-inline'",
        "img-src data: blob:",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return "; ".join(rules)


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _definitions(outcome: Outcome) -> tuple[Definition, ...]:
    found = (definition(name) for name in tables.score_names(outcome))
    return tuple(each for each in found if each is not None)


def _curve_names(drawn: charts.Charts) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row["name"] for row in drawn.data["curves"]))


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_resource(name))


@functools.cache
def _resource(name: str) -> str:
    return (resources.files("steelyard.report") / "templates" / name).read_text(encoding="utf-8")
