"""Schedules through the HTTP API of a server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from streamsched.domain import values
from streamsched.domain.errors import InputError, NoSuchSchedule
from streamsched.domain.ids import is_schedule_id
from streamsched.queries.documents import millis_of, rfc3339
from streamsched.reach.asking import Page, Server
from streamsched.reach.wire import Query

# Few commands need these: none waits for what it does not use.
if TYPE_CHECKING:
    from streamsched.commands.backfills import BackfillStep, WantedBackfill
    from streamsched.commands.schedules import Changed
    from streamsched.files.schedule_file import WantedSchedule
    from streamsched.queries.ledger import Tick, TickFilter
    from streamsched.queries.schedule_status import ScheduleStatus

TICKS: Final = 1_000
"""Times that a server gives at once, at most."""


class RemoteSchedules:
    """What a client does with schedules, through the HTTP API."""

    _server: Server

    def create_schedule(self, wanted: WantedSchedule) -> Changed:
        """Create a schedule."""
        return self._put(wanted, {"If-None-Match": "*"})

    def update_schedule(self, wanted: WantedSchedule) -> Changed:
        """Change a schedule."""
        return self._put(wanted, {"If-Match": "*"})

    def pause_schedule(self, schedule_id: str, note: str, *, paused: bool) -> Changed:
        """Pause or resume a schedule."""
        path = address_of_schedule(schedule_id, "/pause" if paused else "/resume")
        return self._change("POST", path, {"note": note})

    def trigger_schedule(self, schedule_id: str) -> Changed:
        """Request a task of a schedule now."""
        return self._change("POST", address_of_schedule(schedule_id, "/trigger"), {})

    def delete_schedule(self, schedule_id: str, note: str) -> Changed:
        """Delete a schedule."""
        return self._change("DELETE", address_of_schedule(schedule_id), query=[("note", note or None)])

    def backfill(self, schedule_id: str, wanted: WantedBackfill) -> Changed:
        """Make tasks of past times."""
        body = {**_stretch(wanted), "max_active": wanted.max_active, "note": wanted.note}
        return self._change("POST", address_of_schedule(schedule_id, "/backfills"), body)

    def preview_backfill(self, schedule_id: str, wanted: WantedBackfill) -> Iterator[BackfillStep]:
        """Yield what a backfill would do."""
        from streamsched.commands.backfills import BackfillStep

        path, query = address_of_schedule(schedule_id, "/backfills/preview"), _stretch(wanted).items()
        return (step for step in self._server.lines(path, query, BackfillStep, fresh=False) if step is not None)

    def cancel_backfill(self, schedule_id: str, note: str) -> Changed:
        """Cancel a backfill."""
        return self._change("POST", address_of_schedule(schedule_id, "/backfills/cancel"), {"note": note})

    def schedule(self, schedule_id: str) -> ScheduleStatus:
        """Return the status of a schedule."""
        from streamsched.queries.schedule_status import ScheduleStatus

        return self._server.get(address_of_schedule(schedule_id), ScheduleStatus)

    def all_schedules(self) -> list[ScheduleStatus]:
        """Return all schedules by their ids."""
        from streamsched.queries.schedule_status import ScheduleStatus

        return list(self._server.get("/v1/schedules", Page[ScheduleStatus], [("all", "true")]).items)

    def ticks(self, schedule_id: str, wanted: TickFilter) -> Iterator[Tick]:
        """Yield the decided times of a schedule. Raise InputError where there are more than a server gives at once."""
        from streamsched.queries.ledger import Tick

        last, moments = wanted.get("last"), (wanted.get("since"), wanted.get("until"))
        begin, end = (None if moment is None else rfc3339(millis_of(moment)) for moment in moments)
        limit = TICKS if last is None else min(last, TICKS)
        query = [("since", begin), ("until", end), ("outcome", wanted.get("outcome")), ("limit", limit)]
        found = self._server.get(address_of_schedule(schedule_id, "/ticks"), Page[Tick], query)
        if found.more and (last is None or last > TICKS):
            reason = f"schedule {schedule_id!r} has more than {TICKS:,} such times, and a server gives no more at once"
            raise InputError(reason, f"ask for the last {TICKS:,} of them, or from a later time on", source="--last")
        return iter(found.items)

    def _put(self, wanted: WantedSchedule, condition: Mapping[str, str]) -> Changed:
        """Send a schedule as its file would have it, with what was read of its template in it."""
        from streamsched.queries.schedule_status import policy_status

        schedule = {
            **wanted.spec.to_mapping(), **policy_status(wanted.policy).document(), "priority": wanted.priority,
            "template": values.read(wanted.prepared.template_json), "params": values.read(wanted.params),
        }  # fmt: skip
        body = {"schedule": schedule, "canonical": True}
        return self._change("PUT", address_of_schedule(wanted.schedule_id), body, headers=condition)

    def _change(
        self, method: str, path: str, body: Mapping[str, object] | None = None, *, query: Query = (),
        headers: Mapping[str, str] = {},
    ) -> Changed:  # fmt: skip
        from streamsched.commands.schedules import Changed

        return self._server.send(method, path, Changed, body, query=query, headers=headers)


def _stretch(wanted: WantedBackfill) -> dict[str, object]:
    return {
        "start": rfc3339(wanted.start), "end": None if wanted.end is None else rfc3339(wanted.end),
        "reprocess": str(wanted.reprocess), "newest_first": wanted.newest_first,
        "as_of": "now" if wanted.as_of_now else "then",
    }  # fmt: skip


def address_of_schedule(schedule_id: str, part: str = "") -> str:
    """Return the address of a schedule. Raise NoSuchSchedule for an id that none can have."""
    if not is_schedule_id(schedule_id) or "/" in schedule_id:
        raise NoSuchSchedule(
            f"no schedule can have the id {schedule_id[:200]!r}; 'streamsched schedule list' shows all"
        )
    return f"/v1/schedules/{quote(schedule_id, safe='')}{part}"
