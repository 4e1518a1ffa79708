"""Who has which role: lines of a file, for users whom another place knows. The first line that fits decides."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Literal

from msgspec import Struct

from streamsched.domain.visible import is_visible, visible
from streamsched.http.access import Role, User
from streamsched.http.problems import NotAuthenticated, NotPermitted

LONGEST: Final = 100
"""Characters of a user's name."""
MOST_GROUPS: Final = 1_000
"""Of one user."""


class Grant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A role for a group, for a user, or without both for everybody; ``within`` is a prefix of templates' names."""

    role: Literal["viewer", "operator", "admin"]
    group: str | None = None
    user: str | None = None
    within: str = ""

    def fits(self, name: str, groups: Collection[str]) -> bool:
        """Return whether this line is for such a user."""
        return self.user in (None, name) and (self.group is None or self.group in groups)


def user_of(grants: Sequence[Grant], name: str, groups: Collection[str]) -> User:
    """Return the user of this name in these groups. Raise NotPermitted for one without a role."""
    for grant in grants:
        if grant.fits(name, groups):
            return User(name, Role[grant.role.upper()], grant.within)
    raise NotPermitted(f"{visible(name, LONGEST)} has no role here", "ask those who run this server for one")


def check_name(name: object) -> str:
    """Return the name of a user, if it is one. Raise NotAuthenticated."""
    if not isinstance(name, str) or not 0 < len(name.strip()) == len(name) <= LONGEST or not is_visible(name):
        reason = f"{visible(str(name), LONGEST)!r} is no name of 1 to {LONGEST} visible characters"
        raise NotAuthenticated(reason, "have it corrected where users are named")
    return name


def check_groups(groups: Sequence[object]) -> frozenset[str]:
    """Return the groups of a user, if they are names. Raise NotAuthenticated."""
    found = frozenset(group for group in groups if isinstance(group, str) and is_visible(group))
    if len(groups) > MOST_GROUPS or len(found) < len({str(group) for group in groups}):
        reason = f"the groups are no list of up to {MOST_GROUPS:,} names"
        raise NotAuthenticated(reason, "have it corrected where groups are named")
    return found
