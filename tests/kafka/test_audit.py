"""``audit verify`` on a real log, with transactions and their markers, while nodes write it and afterwards."""

from __future__ import annotations

import uuid
from contextlib import closing
from pathlib import Path

from bench.history import fill
from streamsched.audit.verify import Report, verify
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from tools.broker import Broker

EVENTS = 3_000


def test_what_real_nodes_write_is_clean_at_any_moment(broker: Broker, tmp_path: Path) -> None:
    settings = Settings(brokers=broker.address, data_dir=tmp_path, prefix=f"audit-{uuid.uuid4().hex[:8]}")
    looks: list[Report] = []
    with closing(Installation(settings, write=True)) as site:

        def look(done: int) -> None:
            if done >= 600 * (len(looks) + 1):
                looks.append(
                    verify(log=site.log, coordination=site.log, topics=site.discover().topics, codec=site.codec)
                )

        tasks = fill(settings, EVENTS, children=300, on_progress=look)
        looks.append(verify(log=site.log, coordination=site.log, topics=site.topics, codec=site.codec))
    assert all(not report.violations for report in looks), [report.violations for report in looks]
    assert any(report.ended < report.tasks for report in looks)
    last = looks[-1]
    assert (last.tasks, last.ended, last.unjudged, last.unreadable) == (tasks, tasks, 0, 0)
    assert last.events > EVENTS
