"""How a client reaches an installation: by its log (``direct``), or through a server (``remote``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamsched.installation.settings import Settings
    from streamsched.installation.site import Progress
    from streamsched.queries.overview import Overview
    from streamsched.reach.direct import Direct
    from streamsched.reach.remote import Remote
    from streamsched.reach.remote_overview import RemoteOverview

    Watched = Overview | RemoteOverview
    Reach = Direct | Remote
    """Both have a method for each one of ``Client``; mypy holds their signatures together."""


def overview_of(settings: Settings, on_progress: Progress) -> Watched:
    """Return what ``top`` watches, by the way that the settings name."""
    if settings.server:
        from streamsched.reach.remote_overview import RemoteOverview

        return RemoteOverview(settings)
    from streamsched.queries.overview import Overview

    return Overview(settings, on_progress)


def reach_of(settings: Settings, on_progress: Progress) -> Reach:
    """Choose the way that the settings name. Only here the two ways part."""
    if settings.server:
        from streamsched.reach.remote import Remote

        return Remote(settings)
    from streamsched.installation.session import Session
    from streamsched.reach.direct import Direct

    return Direct(Session(settings, on_progress))
