"""Ratings: which column names users, which items, and what is to be said of both."""

from collections.abc import Mapping

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.task import Array, Column, Fact, PairInput, Rows
from steelyard.core.wire import Plain
from steelyard.tasks.columns import source_of_columns
from steelyard.tasks.dataset import PreparedTask, hash_rows
from steelyard.tasks.facts import describe
from steelyard.tasks.preprocess import encode, texts
from steelyard.tasks.source import Columns, Source
from steelyard.tasks.splits import DEFAULT_SHARES, Partition, partition
from steelyard.tasks.targets import value_output, values

USERS = ("user", "userid", "customer", "customerid", "reader", "readerid", "reviewer", "reviewerid", "uid")
ITEMS = (
    "item",
    "itemid",
    "movie",
    "movieid",
    "product",
    "productid",
    "book",
    "bookid",
    "isbn",
    "song",
    "songid",
    "iid",
)
RATINGS = ("rating", "ratings", "stars", "score", "label")
"""What columns are called in data sets that people share, in lower case and without signs between the words."""
BATCH = 1024
"""Ratings a step: a step touches all embeddings, whatever it learns from."""
MOST_CODES = 2**24
"""Codes are float32 where they enter the graph, and no more whole numbers than these are told apart by it."""


def source_of_ratings(
    columns: Columns,
    *,
    origin: str,
    target: str | None = None,
    group: str | None = None,
    split_by: str | None = None,
) -> Source:
    """Raw ratings: two columns of names, one of values; further columns (times, texts) are left out and noted.

    Args:
        columns: raw values by name.
        origin: the file's name, for messages.
        target: column of the ratings; by default the one called so.
        group: column whose equal values must never straddle splits.
        split_by: column with train, valid and test, or with an order such as the time of the rating.

    Raises:
        DataError: if there is no column of ratings, or no two others.
    """
    chosen = target or _called(columns, RATINGS)
    if chosen is None:
        raise DataError(
            f"{origin} must have a column of ratings, got {', '.join(columns)}; name it with --target.", field="target"
        )
    source = source_of_columns(columns, origin=origin, target=chosen, group=group, split_by=split_by)
    named = source.x if isinstance(source.x, Mapping) else {}
    user = _called(named, USERS) or next((name for name in named if name != _called(named, ITEMS)), None)
    item = _called(named, ITEMS) or next((name for name in named if name != user), None)
    if user is None or item is None:
        told = ", ".join(named) or "none"
        raise DataError(
            f"{origin} must have a column of users and one of items beside the ratings {chosen!r}, got {told}.",
            field="data",
        )
    unused = [name for name in named if name not in (user, item)]
    notes: tuple[Fact, ...] = (Fact("pairs", [user, item], f"users are column {user}, items column {item}"),)
    if unused:
        notes += (Fact("left out", unused, f"left out: {', '.join(unused)}"),)
    return Source(
        origin=origin,
        x={user: named[user], item: named[item]},
        y=source.y,
        target=source.target,
        split=source.split,
        order=source.order,
        groups=source.groups,
        notes=(*source.notes, *notes),
    )


def prepare_ratings(
    source: Source,
    *,
    name: str,
    seed: int,
    shares: tuple[float, float, float] = DEFAULT_SHARES,
    defaults: Mapping[str, Plain] | None = None,
) -> PreparedTask:
    """A task from raw ratings. Splits that are made take from every user's ratings, as far as they go round.

    Args:
        source: raw rows of all splits; `x` has two columns, users first.
        name: of the task.
        seed: of the splits that are made.
        shares: of train, valid and test, where all three are made.
        defaults: of the search; by default the family that suits ratings.

    Raises:
        DataError: one sentence on what the data lack.
    """
    source = _with_names(source)
    y = values(source.y, target=source.target, origin=source.origin).astype(np.float32)
    user, _ = _columns(source)
    parts = partition(
        np.unique(np.array(texts(user)), return_inverse=True)[1].reshape(-1),
        origin=source.origin,
        seed=seed,
        given=source.split,
        groups=source.groups,
        order=source.order,
        shares=shares,
    )
    spec = fit_pairs(source, parts.train)
    x = encode(spec, source.x)
    splits = [
        Rows(x[rows], y[rows], None if source.groups is None else source.groups[rows])
        for rows in (parts.train, parts.valid, parts.test)
    ]
    output = value_output(y.astype(np.float64), parts)
    return PreparedTask(
        name=name,
        kind="recommendation",
        input=spec,
        output=output,
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        split_how=parts.how,
        data_hash=hash_rows(spec, output, *splits),
        facts=describe("recommendation", spec, output, splits, (*_told(spec, x, parts), *source.notes)),
        metric="rmse",
        defaults={"families": ["factorization"], "batch": BATCH} if defaults is None else defaults,
    )


def fit_pairs(source: Source, train: Array) -> PairInput:
    """The users and items of the training split; all others get code 0.

    Raises:
        DataError: if these are one user or one item only, or more than can be told apart.
    """
    columns = []
    for name, each in zip(_names(source), _columns(source), strict=True):
        found = tuple(sorted({text for text in texts(each[train]) if text is not None}))
        if not 2 <= len(found) < MOST_CODES:
            raise DataError(
                f"column {name!r} of {source.origin} must name from 2 to {MOST_CODES - 1:,} different ones in train, "
                f"got {len(found):,}; is it the right column?",
                field="data",
            )
        columns.append(Column(name, "category", categories=found))
    return PairInput(*columns)


def _called(columns: Columns, names: tuple[str, ...]) -> str | None:
    """The first column of one of these names, in whatever spelling."""
    spelt = {"".join(each for each in name.lower() if each.isalnum()): name for name in columns}
    return next((spelt[name] for name in names if name in spelt), None)


def _names(source: Source) -> tuple[str, str]:
    """Names of the users' column and of the items'.

    Raises:
        DataError: if there are not two columns.
    """
    if not isinstance(source.x, Mapping) or len(source.x) != 2:
        raise DataError(
            f"{source.origin} must hold two columns, users and items, for recommendation; save x as (n, 2).",
            field="data",
        )
    user, item = source.x
    return user, item


def _columns(source: Source) -> tuple[Array, Array]:
    """The users' column and the items'."""
    user, item = _names(source)
    return source.x[user], source.x[item]


def _with_names(source: Source) -> Source:
    """The rows that name both a user and an item; how many do not is noted.

    Raises:
        DataError: if none does.
    """
    named = [np.array([text is not None for text in texts(each)], dtype=bool) for each in _columns(source)]
    kept = np.flatnonzero(named[0] & named[1])
    missing = len(source.y) - len(kept)
    if not len(kept):
        raise DataError(f"{source.origin} must name a user and an item in each row, got none.", field="data")
    if not missing:
        return source
    return source.kept(kept, Fact("no pair", missing, f"{missing:,} rows without a user or an item were left out"))


def _told(spec: PairInput, x: Array, parts: Partition) -> tuple[Fact, ...]:
    """How many users and items there are, how full their table is, and who is not in it."""
    train, rest = x[parts.train], np.concatenate([x[parts.valid], x[parts.test]])
    users, items = len(spec.user.categories), len(spec.item.categories)
    share = len(np.unique(train, axis=0)) / (users * items)
    value = {"users": users, "items": items, "share": share}
    facts = [Fact("table", value, f"{users:,} users and {items:,} items; {share:.2%} of their table is rated")]
    single = int((np.bincount(train[:, 0].astype(np.int64)) == 1).sum())
    if single:
        text = f"{single:,} users have one rating in train, which says little of them"
        facts.append(Fact("single", single, text))
    unknown = [int((rest[:, column] == 0).sum()) for column in range(2)]
    if any(unknown):
        text = (
            f"{unknown[0]:,} rows of valid and test have a user, {unknown[1]:,} an item that train lacks: these get "
            "what is known of the other, or the mean"
        )
        facts.append(Fact("unknown", {"user": unknown[0], "item": unknown[1]}, text))
    return tuple(facts)
