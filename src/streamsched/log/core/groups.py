"""Consumer groups on one topic each: sessions, and cooperative sticky assignment in two rounds.

Round one takes partitions from owners that have too many, when they poll; round two gives them to their new
owners, when *they* poll. A partition is thus never with two members that are both in the group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from streamsched.log.port import Listener, LogError

Step = Callable[[str], None]


class _Seat:
    """One member, as the group knows it."""

    __slots__ = ("owned", "seen", "target")

    def __init__(self, now: int) -> None:
        self.seen = now
        self.owned: set[int] = set()
        self.target: set[int] = set()


class Group:
    """The members of one group on one topic, in the order in which they joined."""

    def __init__(
        self, name: str, topic: str, *, partitions: int, clock: Callable[[], int], session_timeout: int
    ) -> None:
        self.name: Final = name
        self.topic: Final = topic
        self.generation = 0
        self._partitions = partitions
        self._clock = clock
        self._timeout = session_timeout
        self._seats: dict[str, _Seat] = {}
        self._joined = 0

    @property
    def members(self) -> Mapping[str, frozenset[int]]:
        """Return who is in the group, and which partitions each of them has."""
        self.expire()
        return {name: frozenset(seat.owned) for name, seat in self._seats.items()}

    def expire(self) -> None:
        """Remove the members that were silent for longer than the session timeout."""
        oldest = self._clock() - self._timeout
        for name in [name for name, seat in self._seats.items() if seat.seen < oldest]:
            self.remove(name)

    def join(self, client: str) -> str:
        """Add a member; returns its id."""
        self._joined += 1
        member_id = f"{client}-{self.name}-{self._joined}"
        self._seats[member_id] = _Seat(self._clock())
        self._assign()
        return member_id

    def remove(self, member_id: str) -> bool:
        """Remove a member with all that it holds; False for an unknown id."""
        if self._seats.pop(member_id, None) is None:
            return False
        self._assign()
        return True

    def seat(self, member_id: str) -> _Seat | None:
        """Find a member that is still in the group."""
        self.expire()
        return self._seats.get(member_id)

    def touch(self, member_id: str) -> _Seat | None:
        """Note that a member is alive, if it is still in the group."""
        seat = self.seat(member_id)
        if seat is not None:
            seat.seen = self._clock()
        return seat

    def free_for(self, seat: _Seat) -> set[int]:
        """Find the partitions that this member shall have, does not have, and no other member still has."""
        wanted = seat.target - seat.owned
        for other in self._seats.values():
            wanted -= other.owned
        return wanted

    def _assign(self) -> None:
        """Share all partitions out evenly; each member keeps as many of its own as its share allows."""
        self.generation += 1
        if not self._seats:
            return
        share, larger = divmod(self._partitions, len(self._seats))
        free = set(range(self._partitions))
        quota: dict[str, int] = {}
        for name in sorted(self._seats, key=lambda name: -len(self._seats[name].target)):
            quota[name] = share + (1 if larger > 0 else 0)
            larger -= 1
            seat = self._seats[name]
            seat.target = set(sorted(seat.target)[: quota[name]])
            free -= seat.target
        rest = sorted(free)
        for name, seat in self._seats.items():
            missing = quota[name] - len(seat.target)
            seat.target.update(rest[:missing])
            rest = rest[missing:]


class GroupMember:
    """One process's membership of a group."""

    def __init__(self, group: Group, client: str, listener: Listener, step: Step) -> None:
        self.group: Final = group
        self._client = client
        self._listener = listener
        self._step = step
        self._id = ""
        self._owned: set[int] = set()
        self._left = False

    @property
    def member_id(self) -> str:
        """Return the id by which the group knows this member, as far as the member itself knows."""
        return self._id

    @property
    def current(self) -> bool:
        """Return whether the group would take a commit from this member."""
        return bool(self._id) and self.group.seat(self._id) is not None

    def poll(self, timeout: float = 0.0) -> None:
        """Serve the group: join, give up, take over. Never waits, for nothing else runs meanwhile."""
        self._step("member.poll")
        if self._left:
            raise LogError(f"member of group {self.group.name} has left; make another member to join again")
        if not self._id:
            self._id = self.group.join(self._client)
        seat = self.group.touch(self._id)
        if seat is None:
            self._lose()
            return
        revoked = self._owned - seat.target
        if revoked:
            self._revoke(revoked)
            seat.owned -= revoked
            if not self.current:
                return
        assigned = self.group.free_for(seat)
        if assigned:
            seat.owned |= assigned
            self._owned |= assigned
            self._step("member.assigned")
            self._listener.on_assigned(sorted(assigned))

    def leave(self) -> None:
        """Hand all partitions over and leave; a member that was evicted meanwhile drops them."""
        self._step("member.leave")
        if self._left:
            return
        if self._id and self.group.seat(self._id) is None:
            self._lose()
        elif self._owned:
            self._revoke(set(self._owned))
        self._left = True
        self.group.remove(self._id)
        self._id = ""
        self._step("member.left")

    def _revoke(self, partitions: set[int]) -> None:
        self._step("member.revoke")
        self._listener.on_revoked(sorted(partitions))
        self._owned -= partitions
        self._step("member.revoked")

    def _lose(self) -> None:
        lost, self._owned, self._id = self._owned, set(), ""
        self._step("member.lost")
        if lost:
            self._listener.on_lost(sorted(lost))
