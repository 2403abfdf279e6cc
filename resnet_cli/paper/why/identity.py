"""The figure of the constructed solution, and what it says."""

import statistics
from collections.abc import Sequence

from matplotlib.figure import Figure

from resnet_cli.paper.runs import spoken
from resnet_cli.paper.why.records import Identity
from resnet_cli.paper.why.style import dress, extent

NAME = "identity"
TITLE = "A deeper network need not be worse: identity layers added to a trained one"
_COLOURS = {"train": "#E69F00", "test": "#0072B2"}
_ROLES = {
    "trained": "{}\ntrained",
    "constructed": "{}\nconstructed: the left\nand identity layers",
    "deeper, trained": "{}\ntrained",
}


def _groups(rows: Sequence[Identity]) -> dict[tuple[str, int, str], list[Identity]]:
    """By role and depth, in the order to be drawn: the constructed one beside its twin."""
    order = list(_ROLES)
    found: dict[tuple[str, int, str], list[Identity]] = {}
    for row in sorted(rows, key=lambda one: (one.layers, order.index(one.role))):
        found.setdefault((row.role, row.layers, row.network), []).append(row)
    return found


def _mean(rows: Sequence[Identity], split: str) -> float | None:
    values = [row.error for row in rows if row.split == split]
    return statistics.fmean(values) if values else None


def figure(rows: Sequence[Identity]) -> Figure:
    """Training and test error of each network as bars."""
    groups = _groups(rows)
    sheet = Figure(figsize=(2.6 + 2.2 * len(groups), 4.4), layout="constrained")
    axes = sheet.subplots()
    splits = [name for name in _COLOURS if any(row.split == name for row in rows)]
    width = 0.8 / len(splits)
    for side, split in enumerate(splits):
        for place, its in enumerate(groups.values()):
            if (error := _mean(its, split)) is None:
                continue
            x = place + (side - (len(splits) - 1) / 2) * width
            label = f"{'training' if split == 'train' else split} error" if place == 0 else None
            axes.bar(x, error, width * 0.92, color=_COLOURS[split], label=label)
            axes.annotate(f"{error:.2f}", (x, error), (0, 3), textcoords="offset points",
                          ha="center", fontsize=9)  # fmt: skip
    names = [_ROLES[role].format(spoken(network)) for role, _, network in groups]
    dress(axes, title=_difference(rows), x="", y="error (%)")
    axes.set_xticks(range(len(groups)), labels=names, fontsize=9)
    axes.margins(y=0.12)
    axes.grid(visible=False, axis="x")
    sheet.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    sheet.suptitle(f"{TITLE}\n({extent(rows)} of each split, fp32)", fontsize=11)
    return sheet


def _difference(rows: Sequence[Identity]) -> str:
    found = [row.logit_difference for row in rows if row.logit_difference is not None]
    return (
        f"largest difference between the logits of the two on the left: {max(found, default=0):g}"
    )


def sentences(rows: Sequence[Identity]) -> list[str]:
    """Three sentences, from the rows alone."""
    groups = _groups(rows)
    errors = {key: _mean(its, "train") for key, its in groups.items()}
    by_role: dict[str, list[tuple[str, float]]] = {}
    for (role, _, network), error in errors.items():
        if error is not None:
            by_role.setdefault(role, []).append((network, error))
    shallow, built = by_role.get("trained", []), by_role.get("constructed", [])
    found = by_role.get("deeper, trained", [])
    if not shallow or not built:
        return []
    difference = max((row.logit_difference or 0.0 for row in rows), default=0.0)
    told = [
        f"{spoken(built[0][0])} built from the trained {spoken(shallow[0][0])} and identity layers "
        f"gives logits whose largest difference is {difference:g}.",
        f"So a {spoken(built[0][0])} with a training error of {built[0][1]:.2f} % exists.",
    ]
    if found:
        more = found[0][1] - built[0][1]
        lengths = {row.role: row.iteration for row in rows}
        if lengths["trained"] != lengths["deeper, trained"]:
            end = (
                f", after {lengths['deeper, trained'] or 0:,} iterations instead of "
                f"{lengths['trained'] or 0:,}."
            )
        else:
            end = ": the solver does not find what is there." if more > 0 else "."
        told.append(
            f"The one that training found has {found[0][1]:.2f} %, {abs(more):.2f} points "
            f"{'more' if more > 0 else 'less'}{end}"
        )
    else:
        told.append("No trained network of that depth was given to compare it with.")
    return told
