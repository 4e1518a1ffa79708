"""The table of addresses: one line for each, of which the server and the API's document are made."""

from __future__ import annotations

from typing import Any, Final

from streamsched.commands.backfills import BackfillStep
from streamsched.commands.plan import TaskPlan
from streamsched.commands.redrive import RedrivePreview
from streamsched.commands.request import Submitted
from streamsched.commands.schedules import Changed
from streamsched.commands.set_aside import Decided
from streamsched.http import (
    actions,
    as_of,
    backfills,
    histories,
    inputs,
    installation,
    logs,
    reports,
    schedules,
    sign_in_pages,
    tasks,
)
from streamsched.http.access import Role
from streamsched.http.bodies import MERGE_PATCH
from streamsched.http.call import BYTES, HTML, NDJSON, SSE, Route
from streamsched.http.channels import TaskMessage, TasksMessage
from streamsched.http.problems import ErrorPage
from streamsched.http.sign_in import BEGIN, CALLBACK
from streamsched.queries.arguments import Arguments
from streamsched.queries.attempts import Attempt
from streamsched.queries.certificate import Certificate
from streamsched.queries.children_page import ChildCount, ChildPage
from streamsched.queries.dead_letters import WholeDeadLetterDocument
from streamsched.queries.durations import Durations, Stragglers
from streamsched.queries.lanes import Lanes
from streamsched.queries.layers import Workers
from streamsched.queries.listing import TaskPage
from streamsched.queries.logs import LogLine
from streamsched.queries.report import Report
from streamsched.queries.scaling import Scaling
from streamsched.queries.schedule_status import ScheduleStatus
from streamsched.queries.status import ChildStatus, Result, TaskStatus
from streamsched.queries.system import System
from streamsched.queries.why import Answer
from streamsched.runtime.metrics import MEDIA_TYPE as METRICS

V1: Final = "/v1"
TASK: Final = "/v1/tasks/{id}"
CHILD: Final = "/v1/tasks/{id}/children/{child}"
SCHEDULE: Final = "/v1/schedules/{id}"
_SEEN: Final = {"If-None-Match": "an ETag: 304 where nothing has changed since"}
_LAST: Final = {"Last-Event-ID": "the id of the last message that was read: what was missed comes first"}
PREVIEWED: Final = {200: (TaskStatus, actions.ActionPreview)}
REQUESTED: Final = {201: Submitted, 200: (Submitted, TaskPlan)}
OPERATOR: Final = Role.OPERATOR


def _get(path: str, handler: Any, summary: str, answer: Any, **more: Any) -> Route:
    more.setdefault("query", inputs.Query)
    return Route(method="GET", path=path, handler=handler, summary=summary, answers={200: answer}, **more)


def _post(path: str, handler: Any, summary: str, body: Any, answers: Any, **more: Any) -> Route:
    more.setdefault("role", OPERATOR)
    return Route(method="POST", path=path, handler=handler, summary=summary, body=body, answers=answers, **more)


ROUTES: Final[tuple[Route, ...]] = (
    _get(
        f"{V1}/tasks", tasks.page, "Tasks that meet a filter, the newest first, a page at a time.", TaskPage,
        query=inputs.TaskQuery,
    ),
    _post(
        f"{V1}/tasks", tasks.post, "Request a task under a new id; with a key once for each key.", inputs.Submission,
        REQUESTED, role=Role.ADMIN,
        headers={"Idempotency-Key": "1 to 200 characters of yours: the same key is the same task"},
    ),
    _get(
        TASK, as_of.status, "The status of a task, as 'status --json'.", TaskStatus, query=inputs.AsOfQuery,
        headers={**_SEEN, "Prefer": "wait=30: answer once it has changed (If-None-Match), or has ended, or so late"},
    ),
    Route(
        method="PUT", path=TASK, handler=tasks.put, role=Role.ADMIN, body=inputs.Submission,
        summary="Request a task under this id: the same again is the same task, another one a conflict.",
        answers=REQUESTED,
    ),
    Route(
        method="PATCH", path=TASK, handler=actions.patch, role=OPERATOR, body=inputs.LimitsPatch,
        body_type=MERGE_PATCH, answers={200: TaskStatus},
        summary="Replace limits of a task that runs; those that are not named stay.",
        headers={"If-Match": "an ETag or a position: 412 where the task has changed since"},
    ),
    _post(
        f"{TASK}/cancel", actions.post_cancel, "Request the cancellation of a task.", inputs.Action,
        {202: TaskStatus, 200: (TaskStatus, actions.ActionPreview)},
    ),
    _post(
        f"{TASK}/terminate", actions.post_terminate, "Cancel a task, and kill what runs.", inputs.Action,
        {202: TaskStatus, 200: (TaskStatus, actions.ActionPreview)},
    ),
    _post(f"{TASK}/pause", actions.post_pause, "Hold a task.", inputs.Pause, PREVIEWED),
    _post(f"{TASK}/resume", actions.post_resume, "End the hold of a task.", inputs.Action, PREVIEWED),
    _post(
        f"{TASK}/redrive", actions.post_redrive, "Run children of a task again that has ended, or count them.",
        inputs.Redrive, {200: (TaskStatus, RedrivePreview)},
    ),
    _get(
        f"{TASK}/children", tasks.children, "Children of a task in order, a page at a time.", ChildPage,
        query=inputs.ChildQuery,
    ),
    _get(
        f"{TASK}/count", tasks.count, "How many children of a task meet a selector, by their states.", ChildCount,
        query=inputs.CountQuery,
    ),
    _get(CHILD, tasks.child, "One child: its number, or split or reduce.", ChildStatus),
    _get(f"{CHILD}/arguments", tasks.arguments, "What a child runs, and with which arguments.", Arguments),
    _get(
        f"{CHILD}/attempts", reports.attempts, "The attempts at a child, the latest first.", Attempt,
        media_type=NDJSON,
    ),
    _get(
        f"{TASK}/results", reports.results, "The results of the children that succeeded.", Result,
        query=inputs.ResultQuery, media_type=NDJSON,
    ),
    _get(f"{TASK}/result", reports.result, "What the reduce of a task has returned.", Result),
    _get(
        f"{TASK}/history", reports.task_history, "The events of a task, with their offsets.", dict[str, Any],
        query=inputs.HistoryQuery, media_type=NDJSON,
    ),
    _get(
        f"{TASK}/logs", logs.logs, "What the handlers of a task have printed, or of one child.", LogLine,
        query=inputs.LogQuery, media_type=NDJSON,
    ),
    _get(
        f"{TASK}/why", reports.why,
        "Why a task, a child or a schedule of this id does not run, and what would change that.", Answer,
        query=inputs.WhyQuery,
    ),
    _get(
        f"{TASK}/failures", as_of.failures, "Failures by their causes, those with the most attempts first.",
        reports.Failures, query=inputs.AsOfQuery, headers=_SEEN,
    ),
    _get(
        f"{TASK}/grid", as_of.grid, "The children, one byte each.", bytes, query=inputs.GridQuery, media_type=BYTES,
        headers=_SEEN,
    ),
    _get(f"{TASK}/workers", reports.workers, "The workers that ran the children of a task last.", Workers),
    _get(f"{TASK}/stragglers", reports.stragglers, "The children that have run longest.", Stragglers),
    _get(f"{TASK}/durations", reports.durations, "How long the children took.", Durations),
    _get(
        f"{TASK}/report", reports.report, "All that a page of a task tells, at one moment and of bounded size.", Report
    ),
    _get(
        f"{TASK}/certificate", reports.certificate,
        "The certificate of a task that has ended: digests of its content, and the audit of its history.", Certificate,
    ),
    _get(f"{TASK}/lanes", reports.lanes, "What each worker did in the last ten minutes.", Lanes),
    _get(
        f"{TASK}/events", reports.events, "What happens to a task, at most twice a second.", TaskMessage,
        query=inputs.EventQuery, media_type=SSE, headers=_LAST,
    ),
    _get(
        f"{V1}/schedules", schedules.all_of_them, "Schedules by their ids.", schedules.ScheduleList,
        query=inputs.ScheduleQuery,
    ),
    _get(SCHEDULE, schedules.one, "A schedule with its next times.", ScheduleStatus),
    Route(
        method="PUT", path=SCHEDULE, handler=schedules.put, role=Role.ADMIN, body=inputs.Schedule,
        summary="Make a schedule, or change it for future times.",
        answers={201: Changed, 200: Changed},
        headers={"If-None-Match": "*: only make it", "If-Match": "*: only change it"},
    ),
    Route(
        method="DELETE", path=SCHEDULE, handler=schedules.delete, role=Role.ADMIN,
        summary="Delete a schedule; its running tasks continue.", query=inputs.Note,
        answers={200: Changed},
    ),
    _get(
        f"{SCHEDULE}/ticks", schedules.ticks, "Decided times, each with its outcome and the reason.",
        schedules.TickList, query=inputs.TickQuery,
    ),
    _get(
        f"{SCHEDULE}/history", reports.schedule_history, "The events of a schedule, with their offsets.",
        dict[str, Any], query=inputs.HistoryQuery, media_type=NDJSON,
    ),
    _post(
        f"{SCHEDULE}/pause", schedules.post_pause, "Pause a schedule.", inputs.Note, {200: Changed}
    ),
    _post(
        f"{SCHEDULE}/resume", schedules.post_resume, "Resume a schedule.", inputs.Note,
        {200: Changed},
    ),
    _post(
        f"{SCHEDULE}/trigger", schedules.post_trigger, "Make a task of a schedule now.", inputs.Body,
        {200: Changed},
    ),
    _post(
        f"{SCHEDULE}/backfills", backfills.post, "Make the tasks of past times; with a key once for each key.",
        inputs.Backfill, {201: Changed, 200: Changed},
        headers={"Idempotency-Key": "1 to 200 characters of yours: the same backfill, or 409, while it is the latest"},
    ),
    _get(
        f"{SCHEDULE}/backfills/preview", backfills.preview, "What a backfill would do about each time.",
        BackfillStep, query=inputs.Stretch, media_type=NDJSON,
    ),
    _post(
        f"{SCHEDULE}/backfills/cancel", backfills.post_cancel, "Cancel the backfill of a schedule.", inputs.Note,
        {200: Changed},
    ),
    _get(f"{V1}/nodes", installation.all_nodes, "The nodes that run, and what is missing.", installation.Nodes),
    _get(
        f"{V1}/system", installation.system, "Versions, positions and lag, and transactions that hang.", System
    ),
    _get(
        f"{V1}/dead-letters", installation.letters, "Records that were set aside, the oldest first.",
        installation.DeadLetters, query=inputs.LetterQuery,
    ),
    _post(
        f"{V1}/dead-letters/set-aside", installation.set_aside,
        "Set aside a record of an unknown schema, at which a partition stands still.", inputs.SetAside,
        {201: Decided, 200: Decided}, role=Role.ADMIN,
    ),
    _get(
        f"{V1}/dead-letters/{{number}}", installation.letter, "A record that was set aside, whole.",
        WholeDeadLetterDocument,
    ),
    _get(
        f"{V1}/history", histories.whole, "The events of all tasks and schedules, merged by time, with their offsets.",
        dict[str, Any], query=inputs.WholeHistoryQuery, media_type=NDJSON,
    ),
    _get(
        f"{V1}/scaling", installation.scaling, "How many slots the work asks for.", Scaling, query=inputs.ScalingQuery
    ),
    _get(
        f"{V1}/events", installation.events, "What happens to tasks and schedules, at most twice a second.",
        TasksMessage, query=inputs.EventQuery, media_type=SSE, headers=_LAST,
    ),
    _get(f"{V1}/me", sign_in_pages.me, "Who sends this request.", sign_in_pages.Self, query=inputs.NoQuery),
    _get(
        f"{V1}/session", sign_in_pages.ways, "How to sign in.", sign_in_pages.Ways, role=Role.NONE,
        query=inputs.NoQuery,
    ),
    _post(
        f"{V1}/session", sign_in_pages.sign_in, "Begin a session: a cookie in place of the token.", inputs.Body,
        {201: sign_in_pages.Self}, role=Role.VIEWER,
    ),
    Route(
        method="DELETE", path=f"{V1}/session", handler=sign_in_pages.sign_out, summary="End the session.",
        role=Role.NONE, answers={204: None},
    ),
    Route(
        method="GET", path=BEGIN, handler=sign_in_pages.begin, summary="Sign a browser in at the issuer.",
        role=Role.NONE, query=sign_in_pages.BeginQuery, answers={303: None},
    ),
    _get(
        CALLBACK, sign_in_pages.callback, "Take a browser back from the issuer: a session, and a page that goes on.",
        str, role=Role.NONE, query=sign_in_pages.CallbackQuery, media_type=HTML,
    ),
    _get(
        f"{V1}/errors/{{name}}", installation.error_page, "What an error means.", ErrorPage, role=Role.NONE,
        query=inputs.NoQuery,
    ),
    _get(
        "/metrics", installation.metrics, "The metrics of this server, as Prometheus reads them.", str,
        query=inputs.NoQuery, media_type=METRICS,
    ),
    _get(
        "/livez", installation.live, "Whether this process lives.", installation.Health, role=Role.NONE,
        query=inputs.NoQuery,
    ),
    _get(
        "/readyz", installation.ready, "Whether this server may be asked.", installation.Health, role=Role.NONE,
        query=inputs.NoQuery,
    ),
)  # fmt: skip
