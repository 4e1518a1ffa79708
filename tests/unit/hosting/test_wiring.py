"""The object graph: which view serves which journal."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation


def test_a_view_of_topics_that_were_deleted_and_created_again_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path)

    def positions(*, advance: bool = False) -> dict[int, int]:
        with closing(Installation(settings, write=True)) as site:
            view = site.view("scheduler")
            found = dict(view.positions)
            if advance:
                view.moved(3, 1_000)
            view.close()
            return found

    assert positions(advance=True) == {}
    assert positions() == {3: 1_000}
    monkeypatch.setattr("streamsched.log.core.connection.Connection.topic_id", lambda log, topic: "a younger one")
    assert positions() == {}
