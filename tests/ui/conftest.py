"""A browser, and tasks to look at: some ended, one waits, one is all markup."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamsched.client import Client
from streamsched.hosting.run import run
from streamsched.installation.settings import load_settings
from streamsched.installation.site import Installation
from streamsched.log.port import Append
from tests.support.browser import Tabs, browser
from tests.support.cli import template
from tests.support.http_server import Http, furnish, serving

EVIL = '"><script>alert(1)<script>'
SAYS = "<script>alert(2)</script><img src=x onerror=alert(3)>\x1b[31m\u202eevil"


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    """Have a browser, no longer than needed: with it a loop runs in this thread, and no test can run one of its own."""
    with browser() as found:
        yield found


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Have tasks that succeeded, failed, wait, one all of whose texts are markup, a tick that fired, a dead letter."""
    place = tmp_path_factory.mktemp("pages")
    log = place / "log"
    template(place, "flaky")
    (place / "fired.yaml").write_text("interval: 1d\ntemplate: flaky.yaml\n")
    with Client(data_dir=log) as client:
        client.create_schedule(place / "fired.yaml")
        fired = client.trigger_schedule("fired").task_id
    site = Installation(load_settings(None, data_dir=log), write=True)
    site.log.append([Append(site.topics.events, 0, b"a key", b"no event")])
    site.close()
    evil = template(place, "fail").read_text().replace("{times: 99}", f"{{times: 99, message: {json.dumps(SAYS)}}}")
    (place / "evil.yaml").write_text(evil)
    run(place / "evil.yaml", {"n": 2}, task_id=EVIL, labels={"team": "<b>bold</b>"}, data_dir=log)
    run(template(place, "fail"), {"n": 2}, task_id="lone", data_dir=log)
    furnish(place, log, 1200)  # last: a run works on all tasks, and one is to wait
    with Client(data_dir=log) as client:
        assert fired is not None
        assert client.status(fired).state == "succeeded"
        assert client.status("idle").state == "requested"
    return log


@pytest.fixture(scope="session")
def ask(folder: Path) -> Iterator[Http]:
    with serving(folder) as found:
        yield found


@pytest.fixture
def tabs(chrome: Any, ask: Http) -> Iterator[Tabs]:
    context = chrome.new_context()
    found = Tabs(context, f"http://127.0.0.1:{ask.port}")
    yield found
    found.check()
    context.close()
