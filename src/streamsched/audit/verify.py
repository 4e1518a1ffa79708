"""``verify``: check every invariant that the topics can show, in bounded memory.

The journal is read once, each event judged in its place. It is read a second time only where ended tasks were redriven:
their children are then kept. What holds *as of now* (the work log against the journal and the groups' positions) is
checked afterwards, and only if the history was read to its end.
"""

from __future__ import annotations

from streamsched.audit.fold import Journal, Progress
from streamsched.audit.replay import Positions, ends_of
from streamsched.audit.report import Report, Violation
from streamsched.audit.work import WorkAudit
from streamsched.log.codec import Codec
from streamsched.log.coordination import Coordination
from streamsched.log.port import Log
from streamsched.log.topics import Topics

__all__ = ["Report", "Violation", "verify"]


def verify(
    *,
    log: Log,
    coordination: Coordination,
    topics: Topics,
    codec: Codec,
    task_id: str | None = None,
    until_position: int | None = None,
    until_time: int | None = None,
    on_progress: Progress = lambda done, total: None,
) -> Report:
    """Judge the history of all tasks or one. Raise LogError where it cannot be read to its end.

    ``until_position`` ends each partition before that offset, ``until_time`` (milliseconds) after that time; the work
    log, which is only known as of now, is then left out. ``on_progress`` takes offsets done and to do. A partition that
    stands still at a record of an unknown schema is judged up to there, with a note.
    """
    ends: Positions | None = None
    if until_time is not None or until_position is not None:
        places = topics.journal() if task_id is None else [topics.journal_of(task_id)]
        ends = ends_of(log, places, position=until_position, time=until_time)
    redriven: set[str] = set()
    while True:
        findings = Report()
        journal = Journal(log=log, topics=topics, codec=codec, task_id=task_id, findings=findings, redriven=redriven)
        try:
            if ends is None:
                journal.catch_up(on_progress)
            else:
                journal.read(ends, on_progress, exact=True)
            if not redriven and (found := journal.forgotten()):
                redriven |= found
                continue
            if ends is None:
                WorkAudit(
                    log=log, coordination=coordination, topics=topics, codec=codec, journal=journal,
                    findings=findings, task_id=task_id,
                ).judge()  # fmt: skip
                if task_id is None:
                    journal.judge_followups()
            journal.finish()
        finally:
            journal.close()
        return findings
