"""``verify``: hold every invariant that the topics can show against them, in one pass and bounded memory.

The journal is read once, each event judged where it stands; a second time only where tasks went on after their end, of
which nothing is forgotten then. What holds *as of now* (the work log against the journal and the groups' positions) is
asked afterwards, and only of a history that was read to its end.
"""

from __future__ import annotations

from streamsched.audit.fold import Journal, Progress
from streamsched.audit.replay import Positions, ends_of
from streamsched.audit.report import Findings, Report, Violation
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
    """Judge the history: of all tasks or one, to its end or up to an offset of each partition or a time.

    ``until_position`` ends each partition before that offset, ``until_time`` (milliseconds) after that time; then the
    work log is not looked at, for it is only known as of now. ``on_progress`` hears of offsets done and to do.

    A partition that stands still at a record of an unknown schema is judged up to there, with a note.

    Raises:
        LogError: the log cannot be read to its end.

    """
    ends: Positions | None = None
    if until_time is not None or until_position is not None:
        places = topics.journal() if task_id is None else [topics.journal_of(task_id)]
        ends = ends_of(log, places, position=until_position, time=until_time)
    redriven: set[str] = set()
    while True:
        findings = Findings()
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
        return findings.report()
