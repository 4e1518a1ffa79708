"""The screen of ``top``: a snapshot as rows that fit the terminal. It reads nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.text import Text

from streamsched.cli.look_commands import SILENT_MS
from streamsched.cli.printing import plain
from streamsched.cli.progress import reason_of, span
from streamsched.cli.task_text import describe, left, style_of, told_failures, wrapped
from streamsched.domain.visible import is_visible, visible

if TYPE_CHECKING:
    from streamsched.queries.durations import Straggler
    from streamsched.queries.failures import FailureStatus
    from streamsched.queries.nodes import NodeDocument
    from streamsched.queries.status import TaskStatus

KEYS: Final = "q quits   up and down choose   Enter shows a task"
KEYS_OF_ONE: Final = "q quits   Esc goes back   up and down choose"
FRAME: Final = 11
"""Rows that are neither tasks nor nodes: head, heads of tables, what is said of the chosen task, keys."""
LOW: Final = 15
"""Rows below which only tasks are shown."""
STRAGGLERS: Final = 5
WIDE: Final = 100
"""Columns from which on counts are shown in full."""


@dataclass(frozen=True, slots=True)
class Row:
    """A task in the list; ``rate`` is children that end a second."""

    status: TaskStatus
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the screen says of the chosen task."""

    status: TaskStatus
    failures: Sequence[FailureStatus] = ()
    stragglers: Sequence[Straggler] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known at one moment. ``rows`` are the tasks on the screen, from ``first`` of ``task_ids`` on."""

    where: str
    clock: str = ""
    active: str = "0"
    task_ids: Sequence[str] = ()
    first: int = 0
    rows: Sequence[Row] = ()
    chosen: Chosen | None = None
    nodes: Sequence[NodeDocument] = ()
    trouble: str = ""


def rooms(height: int, nodes: int) -> tuple[int, int]:
    """Return how many rows there are for tasks and for nodes."""
    if height < LOW:
        return max(1, height - 3), 0
    for_nodes = max(1, min(nodes, (height - FRAME) // 3))
    return max(1, height - FRAME - for_nodes), for_nodes


def screen(found: Snapshot, chosen: str, *, opened: bool, width: int, height: int) -> list[Text]:
    """Return the rows of a screen: they fit its width and height."""
    head = [Text(f"streamsched top   {found.where}   {found.clock}", "bold"), _told(found)]
    keys = Text(KEYS_OF_ONE if opened else KEYS, "dim")
    body = _of_one(found, width) if opened else _list(found, chosen, width, height)
    rows = (head + body)[: max(0, height - 1)]
    rows += [Text() for _ in range(height - 1 - len(rows))]
    return [_fitted(row, width) for row in (*rows, keys)]


def _fitted(row: Text, width: int) -> Text:
    """Return a row cut to a width, with control characters made visible."""
    shown = row if is_visible(row.plain) else Text(visible(row.plain), row.style)
    shown.truncate(width, overflow="ellipsis")
    shown.no_wrap = True
    return shown


def _told(found: Snapshot) -> Text:
    if found.trouble:
        return Text(plain(found.trouble, 300), "yellow")
    heard = [node for node in found.nodes if node.age_ms < SILENT_MS]
    workers = [node for node in heard if node.role == "worker"]
    schedulers = sum(node.role == "scheduler" for node in heard)
    slots, free = sum(node.slots for node in workers), sum(node.free for node in workers)
    return Text(
        f"{found.active} active task{'' if found.active == '1' else 's'}, {_number(schedulers, 'scheduler')}, "
        f"{_number(len(workers), 'worker')}, {_number(slots, 'slot')}, {free:,} free"
    )


def _list(found: Snapshot, chosen: str, width: int, height: int) -> list[Text]:
    tasks, for_nodes = rooms(height, len(found.nodes))
    head = ("TASK", "STATE", "ENDED", "CHILDREN", "RUNNING", "FAILED", "RATE", "LEFT")
    rows = [Text(f"  {_columns(width, *head)}", "dim")]
    rows += [_task(row, chosen, width) for row in found.rows[:tasks]]
    if not found.task_ids:
        rows.append(Text("  no tasks", "dim"))
    if not for_nodes:
        return rows
    rows += [Text() for _ in range(tasks + 1 - len(rows))]
    node_head = _node_columns(width, "NODE", "ROLE", "STATE", "SLOTS", "FREE", "RUNS")
    rows += [Text(), *_short(found.chosen), Text(), Text(node_head, "dim")]
    rows += [_node(node, width) for node in found.nodes[:for_nodes]]
    if len(found.nodes) > for_nodes:
        more = len(found.nodes) - for_nodes + 1
        rows[-1] = Text(f"  and {more:,} more: streamsched nodes", "dim")
    if not found.nodes:
        rows.append(Text("  no node", "yellow"))
    return rows


def _task(row: Row, chosen: str, width: int) -> Text:
    status, counts = row.status, row.status.children
    share = f"{counts.ended * 100 // counts.total}%" if counts.total and not status.splitting else "-"
    rate = "-" if not row.rate else f"{row.rate:,.0f}/s" if row.rate >= 10 else f"{row.rate:.1f}/s"
    remaining = left(status) or "-"
    columns = _columns(
        width, status.task_id, status.state, share, f"{counts.ended:,} of {counts.total:,}", f"{counts.running:,}",
        f"{counts.failed:,}", rate, remaining,
    )  # fmt: skip
    line = Text(f"{'>' if status.task_id == chosen else ' '} {columns}")
    if status.task_id == chosen:
        line.stylize("reverse")
    begin = 2 + _names(width) + 2
    line.stylize(style_of(status.state), begin, begin + len(status.state))
    if counts.failed:
        end = len(line.plain) - len(f"  {rate:>8}  {remaining:>11}")
        line.stylize("red", end - len(f"{counts.failed:,}"), end)
    return line


def _names(width: int) -> int:
    """Return how wide the names of tasks are."""
    return max(8, width - (64 if width < WIDE else 89))


def _columns(width: int, task: str, state: str, share: str, counts: str, *others: str) -> str:
    running, failed, rate, remaining = others
    names = _names(width)
    middle = f"  {counts:>23}" if width >= WIDE else ""
    head = f"{plain(task, names):<{names}}  {state:<10}  {share:>5}{middle}"
    return f"{head}  {running:>7}  {failed:>7}  {rate:>8}  {remaining:>11}"


def _short(chosen: Chosen | None) -> list[Text]:
    """Return the rows on the chosen task below the list: four."""
    if chosen is None:
        return [Text()] * 4
    why = chosen.status.why or reason_of(chosen.status) or f"{chosen.status.state}, as it should be"
    told = [Text(f"{chosen.status.task_id}: {plain(why, 400)}")]
    told += [
        Text(f"  {group.count:,} x {plain(group.type)}: {plain(group.message, 200)}") for group in chosen.failures[:3]
    ]
    if len(chosen.failures) > 3:
        told[-1] = Text(f"  and {len(chosen.failures) - 2:,} more causes of failures", "dim")
    return told + [Text() for _ in range(4 - len(told))]


def _of_one(found: Snapshot, width: int) -> list[Text]:
    if found.chosen is None:
        return [Text(), Text("  no task", "dim")]
    chosen = found.chosen
    lines = describe(chosen.status) + told_failures(chosen.status.task_id, chosen.failures)
    rows = [Text(), *map(Text, wrapped(lines, width))]
    if chosen.stragglers:
        rows += [Text(), Text("longest running", "dim")]
    for each in chosen.stragglers[:STRAGGLERS]:
        progress = "" if each.progress is None else f", progress {each.progress:.0%}"
        times = "" if each.times_median is None else f", {each.times_median:,.1f} x the median"
        rows.append(Text(f"  child {each.child} for {span(each.elapsed_ms / 1_000)}{times}{progress}"))
    return rows


def _node(node: NodeDocument, width: int) -> Text:
    heard = node.age_ms < SILENT_MS
    state = node.state if heard else f"silent {span(node.age_ms / 1_000)}"
    runs = " ".join(f"{each.task_id}[{each.child}]" for each in node.running[:20])
    slots, free = (f"{node.slots}", f"{node.free}") if node.role == "worker" else ("-", "-")
    columns = _node_columns(width, plain(node.name), node.role, state, slots, free, plain(runs))
    return Text(columns, "" if heard else "yellow")


def _node_columns(width: int, name: str, role: str, state: str, slots: str, free: str, runs: str) -> str:
    names = max(12, width // 3 - 4)
    return f"  {plain(name, names):<{names}}  {role:<9}  {plain(state, 14):<14}  {slots:>5}  {free:>4}  {runs}"


def _number(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"
