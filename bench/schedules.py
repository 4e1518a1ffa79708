"""Schedules: how late many of them are on one scheduler, and how long a week of one takes where time costs nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from bench.cluster import TEMPLATES, Bench, BenchError, Site
from bench.figures import Figures, percentile
from bench.sampling import sampled
from streamsched.commands.request import want
from streamsched.domain import events as e
from streamsched.domain.calendar.spec import ScheduleSpec
from streamsched.domain.ids import EventIds
from streamsched.domain.overlap import SchedulePolicy
from streamsched.domain.schedule import evolve_schedule
from streamsched.domain.ticking import decide
from streamsched.installation.site import Installation
from streamsched.view.follow import Follower
from streamsched.view.view import open_view

EVERY_MS: Final = 60_000
WEEK_MS: Final = 7 * 24 * 3_600_000


def lateness(bench: Bench, schedules: int) -> Iterator[Figures]:
    """Let so many schedules fire each minute, spread over it by jitter: from due until the task is seen requested."""
    minutes = 1 if bench.quick else 2
    spec = ScheduleSpec.from_mapping({"interval": "1m", "jitter": "1m"})
    with bench.site() as site:
        ids = _create(site, schedules, spec)
        with closing(Installation(site.settings).discover()) as here:
            view = open_view(None, here.journal_id, here.codec)
            with closing(Follower(log=here.log, topics=here.topics, codec=here.codec, view=view)) as follower:
                follower.catch_up(here.topics.journal())
                _watch(follower, spec, 60 - time.time() % 60)  # their first time is the next full minute
                for _ in range(bench.repeats):
                    with sampled(bench, site) as samples:
                        late, fired = _watch(follower, spec, minutes * EVERY_MS / 1000)
                    if fired < 0.9 * schedules * minutes:
                        raise BenchError(f"only {fired:,} ticks in {minutes} minutes: {site.nodes[0].said()}")
                    load = samples.load()
                    yield {
                        "ticks_per_s": fired / (minutes * 60),
                        "late_p50_ms": percentile(late, 0.5),
                        "late_p99_ms": percentile(late, 0.99),
                        "late_max_ms": max(late),
                        **{name: value for name, value in load.items() if name.startswith("scheduler")},
                    }
        with closing(Installation(site.settings).discover()) as here:
            me = here.identity("client", "bench")
            ends = [me.sign(e.ScheduleDeleted, schedule_id=each, note="") for each in ids]
            here.log.append([here.records.journal(event, event.schedule_id) for event in ends])


def week(bench: Bench) -> Iterator[Figures]:
    """Decide and fold a week of one schedule each minute, its tasks included, in this process."""
    ids = EventIds()
    start = 1_800_000_000_000
    body = e.ScheduleSet(
        ids(), start, "bench", "week", 0, ScheduleSpec.from_mapping({"cron": "* * * * *"}).to_json(),
        SchedulePolicy().to_json(), "t", "1", "{}", "{}", 0,
    )  # fmt: skip
    for _ in range(bench.repeats):
        begun = time.perf_counter()
        schedule = evolve_schedule(None, body)
        ticks = 0
        while schedule is not None and (due := schedule.due()) is not None and due <= start + WEEK_MS:
            decided = decide(schedule, due)
            ticks += len(decided.fires)
            evolve_schedule(schedule, e.TicksDecided(ids(), due, "s", "week", decided.upto, tuple(decided.ticks), 0))
            for fire in decided.fires:
                evolve_schedule(schedule, e.TickEnded(ids(), due, "s", "week", fire.task_id, "succeeded", 0))
        yield {"ticks": ticks, "week_s": time.perf_counter() - begun}


def _create(site: Site, schedules: int, spec: ScheduleSpec) -> list[str]:
    prepared = want(TEMPLATES / "noop.yaml", {"children": 1}).prepared
    with closing(Installation(site.settings).discover()) as here:
        me = here.identity("client", "bench")
        ids = [f"bench-{time.time_ns()}-{number}" for number in range(schedules)]
        events = [
            me.sign(
                e.ScheduleSet,
                schedule_id=each,
                expected=0,
                spec=spec.to_json(),
                policy=SchedulePolicy().to_json(),
                template_name=prepared.template.name,
                template_version=prepared.version,
                template=prepared.template_json,
                params=prepared.params_json,
                priority=0,
            )
            for each in ids
        ]
        here.log.append([here.records.journal(event, event.schedule_id) for event in events])
    return ids


def _watch(follower: Follower, spec: ScheduleSpec, seconds: float) -> tuple[list[float], int]:
    """Watch ticks for so long: how many milliseconds after they were due each was seen."""
    late: list[float] = []
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        for _, event in follower.poll(0.05):
            if isinstance(event, e.TicksDecided):
                now = time.time() * 1000
                late += [now - spec.due(event.schedule_id, run.first) for run in event.ticks]
    return late, len(late)
