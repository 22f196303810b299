"""Where the arrows of the picture of the whole run: between the boxes, never through one.

Boxes stand in rows and columns. Gutter c is the free strip left of column c, channel k the one
above row k. Arrows run in these strips alone. All arrows to one box are one net, which may join;
two nets in the same stretch of a strip get a lane each, in the order that crosses least.
But: a crossing that no order of lanes avoids stays, and nothing here looks for a way around.
"""

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, replace
from itertools import pairwise

Cell = tuple[int, int]  # row, column
Point = tuple[float, float]
Strip = tuple[str, int]  # ("gutter", c) or ("channel", k)
Lanes = dict[tuple[Strip, Hashable], float]  # a net's lane, counted from the middle of its strip


@dataclass(frozen=True)
class Grid:
    """Where rows, columns and strips lie: in units of the picture, or only by their order."""

    gutters: list[float]  # the middle of each
    channels: list[float]
    lefts: list[float]
    rights: list[float]
    tops: list[float]
    bottoms: list[float]
    entry: float  # from the top of a box down to where arrows come in
    pitch: float  # from lane to lane


@dataclass(frozen=True)
class Arrow:
    """One need: from the box of `source` to that of `target`; a straight one has no `out`."""

    source: Hashable
    target: Hashable
    start: Cell
    end: Cell
    out: int | None = None  # the gutter that it leaves into
    via: int | None = None  # the channel that brings it to another gutter
    port: float = 0.0  # where it leaves, as a share of the side below the entry


def plan(cells: dict[Hashable, Cell], needs: dict[Hashable, list], bands: list[int]) -> list[Arrow]:
    """Choose the strips of every arrow.

    Args:
        cells: the cell of each box.
        needs: for each box, the boxes that it needs.
        bands: for each row, its band; between bands stand titles, which no arrow may run through.

    Returns: one arrow a need, in the order of `needs`.
    """
    taken = set(cells.values())
    ways = []
    for target, sources in needs.items():
        for source in sources:
            (r1, c1), (r2, c2) = start, end = cells[source], cells[target]
            below = c1 == c2 and r2 == r1 + 1 and bands[r1] == bands[r2]
            beside = r1 == r2 and c1 < c2 and not taken & {(r1, c) for c in range(c1 + 1, c2)}
            if below or beside:
                ways.append(Arrow(source, target, start, end))
                continue
            out = c1 + 1 if c2 > c1 else c1
            via = None if out == c2 else r2 if r1 < r2 else r2 + 1
            ways.append(Arrow(source, target, start, end, out, via))
    return with_ports(ways)


def with_ports(ways: list[Arrow]) -> list[Arrow]:
    """Give the arrows that leave into one gutter beside one row a height each; nearest last."""
    leaving = defaultdict(list)
    for way in ways:
        if way.out is not None:
            leaving[way.out, way.start[0]].append(way)
    ported = {}
    for group in leaving.values():
        # Upward arrows leave above downward ones; then the outer lane takes the outer arrow.
        group.sort(key=lambda way: (way.end, way.start))
        for i in range(len(group)):
            ported[group[i]] = replace(group[i], port=(i + 1) / (len(group) + 1))
    return [ported.get(way, way) for way in ways]


def trace(arrow: Arrow, grid: Grid, lanes: Lanes) -> list[Point]:
    """Return the corners of an arrow from its start to its tip; neighbours differ in x or in y."""
    (r1, c1), (r2, c2) = arrow.start, arrow.end
    tip = (grid.lefts[c2], grid.tops[r2] + grid.entry)
    if arrow.out is None and c1 == c2:
        x = (grid.lefts[c1] + grid.rights[c1]) / 2
        return [(x, grid.bottoms[r1]), (x, grid.tops[r2])]
    if arrow.out is None:
        return [(grid.rights[c1], tip[1]), tip]

    def x_in(gutter: int) -> float:
        return grid.gutters[gutter] + grid.pitch * lanes[("gutter", gutter), arrow.target]

    edge = grid.rights[c1] if arrow.out > c1 else grid.lefts[c1]
    entry = grid.tops[r1] + grid.entry
    y = entry + arrow.port * (grid.bottoms[r1] - entry)
    corners = [(edge, y), (x_in(arrow.out), y)]
    if arrow.via is not None:
        across = grid.channels[arrow.via]
        across += grid.pitch * lanes[("channel", arrow.via), arrow.target]
        corners += [(x_in(arrow.out), across), (x_in(c2), across)]
    return [*corners, (x_in(c2), tip[1]), tip]


@dataclass
class Run:
    """What a net does in one strip: how far it reaches along it, and where it turns off."""

    low: float
    high: float
    turns: list[tuple[float, bool]]  # where along the strip; True: to the right, or down


def collect(arrows: list[Arrow], grid: Grid, lanes: Lanes) -> dict[Strip, dict[Hashable, Run]]:
    """Return the runs in each strip, by net."""
    strips: dict[Strip, dict[Hashable, Run]] = defaultdict(dict)
    for arrow in arrows:
        if arrow.out is None:
            continue
        corners = trace(arrow, grid, lanes)
        used: list[Strip] = [("gutter", arrow.out)]
        if arrow.via is not None:
            used += [("channel", arrow.via), ("gutter", arrow.end[1])]
        for i, strip in enumerate(used, start=1):
            along = 1 if strip[0] == "gutter" else 0
            low, high = sorted((corners[i][along], corners[i + 1][along]))
            turns = [
                (corners[near][along], corners[far][1 - along] > corners[near][1 - along])
                for near, far in ((i, i - 1), (i + 1, i + 2))
            ]
            run = strips[strip].setdefault(arrow.target, Run(low, high, []))
            run.low, run.high = min(run.low, low), max(run.high, high)
            run.turns += turns
    return strips


def crossings(first: Run, second: Run) -> int:
    """Count how often two runs cross if `first` has the lane left of, or above, `second`."""
    outward = sum(far and second.low < at < second.high for at, far in first.turns)
    return outward + sum(not far and first.low < at < first.high for at, far in second.turns)


def in_order(runs: dict[Hashable, Run]) -> list[Hashable]:
    """Return the nets of one stretch as their lanes lie: each put in where it crosses least."""
    order: list[Hashable] = []
    for net in sorted(runs, key=lambda net: (runs[net].low, runs[net].high)):
        costs = [
            sum(crossings(runs[other], runs[net]) for other in order[:i])
            + sum(crossings(runs[net], runs[other]) for other in order[i:])
            for i in range(len(order) + 1)
        ]
        order.insert(costs.index(min(costs)), net)
    return order


def assign(arrows: list[Arrow], rows: int, columns: int) -> Lanes:
    """Return the lane of every net in every strip that it runs through.

    Nets whose stretches of a strip do not touch share lanes.
    """
    order = Grid(  # the numbers tell only what lies left of and above what
        gutters=[float(c) for c in range(columns + 1)],
        channels=[float(k) for k in range(rows + 1)],
        lefts=[c + 0.3 for c in range(columns)],
        rights=[c + 0.7 for c in range(columns)],
        tops=[r + 0.3 for r in range(rows)],
        bottoms=[r + 0.7 for r in range(rows)],
        entry=0.1,
        pitch=0.001,
    )
    lanes: Lanes = defaultdict(float)
    for kind in ("gutter", "channel", "gutter"):  # the second time the channels' lanes are known
        for strip, runs in collect(arrows, order, lanes).items():
            if strip[0] != kind:
                continue
            for stretch in stretches(runs):
                nets = in_order(stretch)
                for i in range(len(nets)):
                    lanes[strip, nets[i]] = i - (len(nets) - 1) / 2
    return lanes


def stretches(runs: dict[Hashable, Run]) -> list[dict[Hashable, Run]]:
    """Part the runs of a strip into groups that do not touch one another."""
    groups: list[dict[Hashable, Run]] = []
    high = float("-inf")
    for net in sorted(runs, key=lambda net: runs[net].low):
        if runs[net].low > high + 0.1:
            groups.append({})
        groups[-1][net] = runs[net]
        high = max(high, runs[net].high)
    return groups


def as_path(lines: list[list[Point]], head: float = 5.0) -> str:
    """Return the `d` of one SVG path for a net: its lines in order, then its open arrowheads.

    One path, so that lines which join are inked once.
    """
    parts = [as_line(corners) for corners in lines]
    for (x, y), down in dict.fromkeys((line[-1], line[-1][1] > line[-2][1]) for line in lines):
        x1, y1 = x - head, y - head
        x2, y2 = (x + head, y - head) if down else (x - head, y + head)
        parts.append(f"M{x1:.1f} {y1:.1f}L{x:.1f} {y:.1f}L{x2:.1f} {y2:.1f}")
    return "".join(parts)


def as_line(corners: list[Point], radius: float = 5.0) -> str:
    """Return the SVG path of one line, its corners rounded."""
    corners = [corners[0], *(b for a, b in pairwise(corners) if a != b)]
    parts = [f"M{corners[0][0]:.1f} {corners[0][1]:.1f}"]
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        ends = []
        for other in (before, after):
            length = abs(other[0] - corner[0]) + abs(other[1] - corner[1])
            share = min(radius, length / 2) / length
            ends.append([c + share * (o - c) for c, o in zip(corner, other, strict=True)])
        (x1, y1), (x2, y2) = ends
        parts.append(f"L{x1:.1f} {y1:.1f}Q{corner[0]:.1f} {corner[1]:.1f} {x2:.1f} {y2:.1f}")
    return "".join([*parts, f"L{corners[-1][0]:.1f} {corners[-1][1]:.1f}"])
