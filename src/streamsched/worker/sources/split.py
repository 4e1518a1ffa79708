"""A split child in its executor: it runs a splitter, and what that finds becomes pages of the task's plan.

A page is a checkpoint: entries that are durable together with the state from which another attempt goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from streamsched.domain import values
from streamsched.domain.bounds import CHILDREN_LIMIT
from streamsched.domain.options import SplitOptions
from streamsched.domain.placeholders import encode
from streamsched.domain.splitters import SPLITTERS
from streamsched.domain.splitters.outside import OutsideSplitter
from streamsched.domain.splitters.topic import TopicSplit
from streamsched.worker.context import PAYLOAD_LIMIT, ChildContext, Transport
from streamsched.worker.errors import BadArguments, NonRetryable, PayloadTooLarge, StopChild
from streamsched.worker.jobs import PLAN, EmittedHeaders
from streamsched.worker.payload import write_state
from streamsched.worker.sources.errors import BadItem, PlanTooLarge, SplitChanged, TooManyChildren
from streamsched.worker.sources.generators import GENERATORS

if TYPE_CHECKING:
    from streamsched.log.adapter import LogAdapter

PAGE_ENTRIES: Final = 10_000
PAGE_BYTES: Final = 512 * 1024
PAGE_S: Final = 1.0
"""Seconds that a found entry waits for others before the link thread tells of it."""
ENTRY_LIMIT: Final = 240 * 1024
"""Bytes of one entry: its files must fit into the event of its child."""
PLAN_LIMIT: Final = 256 * 1024 * 1024
"""Bytes of all entries of a task."""
_USER_LIMIT: Final = PAYLOAD_LIMIT - 1024
"""Bytes of the state of the user's generator: the child's own state stands around it."""
_monotonic = time.monotonic


class PlanContext(ChildContext):
    """The context of a split child, for the executor. Its state is that of ``Pages``; the user's code has another."""

    __slots__ = ("_ends", "_told_at")

    def __init__(self, transport: Transport, **of_child: Any) -> None:
        super().__init__(transport, **of_child)
        self._told_at = 0.0
        self._ends = False

    def found(self, entry: str, state: bytes) -> None:
        """Add an entry to the plan, with the state behind it."""
        self.emit(PLAN, entry.encode())
        self.tell(state)

    def tell(self, state: bytes, *, wait: bool = False) -> None:
        """Take the state behind all entries so far; a safe point. With ``wait`` return when it is durable."""
        outbox = self._outbox
        self._told = (state, self._told[1] + 1, 0 if outbox is None else outbox.count)
        self._transport.heartbeat()
        if wait and not self._stop:
            self._transport.wait(self._told[1])
        if self._stop:
            raise StopChild

    @property
    def transport(self) -> Transport:
        """Where it reports to."""
        return self._transport

    def alive(self) -> None:
        """Say that the child is alive; a safe point."""
        self._transport.heartbeat()
        if self._stop:
            raise StopChild

    def unsaved(self, *, again: bool = False) -> tuple[str, int, int] | None:
        """Return the latest state: at most once a second, but where someone waits for it or the child ends."""
        now = _monotonic()
        if not (again or self._ends) and now - self._told_at < PAGE_S:
            return None
        unsaved = super().unsaved(again=again)
        if unsaved is not None:
            self._told_at = now
        return unsaved

    def finish(self) -> None:
        """Hold nothing back any more: the child ends."""
        self._ends = True


class Pages:
    """Cuts what a splitter yields into pages. The state of a split child is an object.

    ``n``: entries so far; ``at``: entries at the last checkpoint of the splitter; ``user``: that state; ``hash``:
    BLAKE2b-128 of the entries from ``at`` to ``n``; ``bytes``: of all pages.
    """

    def __init__(self, context: PlanContext, options: SplitOptions, plan_limit: int = PLAN_LIMIT) -> None:
        splitter = SPLITTERS.get(options.kind)
        if splitter is None or not issubclass(splitter, OutsideSplitter):
            raise NonRetryable(f"this worker does not know the splitter {options.kind!r}")
        state = context.last_checkpoint or {}
        self._context = context
        self._splitter = splitter
        self._item_limit = options.item_limit
        self._plan_limit = plan_limit
        self._n: int = state.get("n", 0)
        self._at: int = state.get("at", 0)
        self._bytes: int = state.get("bytes", 0)
        self.user: Any = state.get("user")
        """The state of the generator's last checkpoint; of a built-in the last entry."""
        self._user = encode(self.user).encode()
        self._wanted: str = state.get("hash", "")
        self._hash = blake2b(digest_size=16)
        self._seen: int = self._at
        self._page = [0, 0]

    def add(self, item: Any, *, own: bool = False) -> None:
        """Take the next entry; ``own``: of a built-in splitter, which can go on behind it without repeating any."""
        text = self._text(item, own=own)
        if self.repeats:
            self._repeat(text)
            return
        self._check(len(text))
        self._n = self._seen = self._n + 1
        self._bytes += len(text) + 1
        if own:
            self._cover(encode({**item, "inputs": item["inputs"][-1:]}).encode())
        else:
            self._count(text)
        self._context.found(text, self._state())
        self._page[0] += 1
        self._page[1] += len(text) + 1
        if self._page[0] >= PAGE_ENTRIES or self._page[1] >= PAGE_BYTES:
            self.flush()

    @property
    def repeats(self) -> bool:
        """Whether the splitter is before the end of what an earlier attempt has found, with what it emitted by then."""
        return self._seen < self._n

    def cover(self, user: bytes, *, wait: bool) -> None:
        """Take a checkpoint of the user's generator: everything that it has yielded so far is behind it."""
        if self.repeats:  # the durable checkpoint stands
            return
        self._cover(user)
        self._context.tell(self._state(), wait=wait)

    def flush(self) -> None:
        """Return when all entries are durable."""
        self._page = [0, 0]
        self._context.tell(self._state(), wait=True)

    def end(self) -> None:
        """Take the end of the splitter, and make all entries durable."""
        if self.repeats:
            self._refuse_change(f"it yielded {self._seen:,}")
        if self._page[0]:
            self.flush()

    def _text(self, item: Any, *, own: bool) -> str:
        if not own:
            try:
                item = values.plain(item, values.SUBMITTED)
            except values.Refused as error:
                refused = values.Refused(error.reason, error.remedy, error.path, f"item {self._seen:,}")
                raise BadItem(str(refused)) from None
        text = encode(item)
        limit = min(ENTRY_LIMIT, self._item_limit)
        if 2 * len(text) <= limit:  # inside a string it has at most twice as many
            return text
        size = max(len(text), self._splitter.entry_size(item))
        if size > limit:
            reason = (
                f"item {self._seen:,} has {size:,} bytes of JSON, and the arguments of its child leave it {limit:,}"
            )
            raise PayloadTooLarge(f"{reason}: pass large data by reference (a path, an address)")
        return text

    def _check(self, size: int) -> None:
        if self._n >= CHILDREN_LIMIT:
            raise TooManyChildren(f"the split gives more than {CHILDREN_LIMIT:,} children: choose a larger size")
        if self._bytes + size >= self._plan_limit:
            raise PlanTooLarge(
                f"{self._n:,} children take {self._bytes:,} bytes of the task's plan, and its limit is "
                f"{self._plan_limit:,}: give each child more, or split by bytes or lines, which keep no items"
            )

    def _cover(self, user: bytes) -> None:
        self._at, self._user = self._n, user
        self._hash = blake2b(digest_size=16)

    def _repeat(self, text: str) -> None:
        """Take an entry that an attempt before this one has found too."""
        self._context.alive()
        self._count(text)
        self._seen += 1
        if self._seen == self._n and self._hash.hexdigest() != self._wanted:
            self._refuse_change("they are others now")

    def _count(self, text: str) -> None:
        self._hash.update(b"%d:%s" % (len(text), text.encode()))

    def _refuse_change(self, why: str) -> None:
        raise SplitChanged(
            f"the items {self._at:,} to {self._n - 1:,} are those of an attempt before this one, and {why}: yield them "
            "in a stable order, or call ctx.checkpoint(...) in the generator and go on from ctx.last_checkpoint"
        )

    def _state(self) -> bytes:
        return b'{"at":%d,"bytes":%d,"hash":"%s","n":%d,"user":%s}' % (
            self._at, self._bytes, self._hash.hexdigest().encode(), self._n, self._user,
        )  # fmt: skip


class SplitContext(ChildContext):
    """The context of the user's generator: its checkpoints cover what it has yielded."""

    __slots__ = ("_pages", "_plan")

    def __init__(self, plan: PlanContext, pages: Pages) -> None:
        state = None if pages.user is None else encode(pages.user)
        super().__init__(
            plan.transport, task_id=plan.task_id, attempt=plan.attempt, fencing_token=plan.fencing_token,
            handler=plan.handler, state=state, payload_limit=_USER_LIMIT, stage=plan.stage,
        )  # fmt: skip
        self._plan = plan
        self._pages = pages

    @property
    def should_stop(self) -> bool:
        """Whether a stop was asked for. The next item is a safe point, as the next checkpoint is."""
        return self._plan.should_stop

    def checkpoint(self, state: Any, *, wait: bool = False) -> None:
        """Keep ``state`` as the point behind all items that were yielded so far."""
        data = write_state(state, self._limit)
        self._told = (data, self._told[1] + 1, 0)
        self._pages.cover(data, wait=wait)

    def emit(
        self, topic: str, value: Any, key: str | bytes | None = None, headers: EmittedHeaders = None,
        partition: int | None = None,
    ) -> None:  # fmt: skip
        """Write a record, as any child may: the next item covers it. Of repeated items it is there already."""
        if topic == PLAN:
            raise NonRetryable("'' is not a topic: yield the items")
        if not self._pages.repeats:
            self._plan.emit(topic, value, key, headers, partition)

    def _save(self) -> None:
        super()._save()
        self._pages.cover(self._told[0], wait=False)


def run_split(
    context: PlanContext, options: SplitOptions, function: Callable[..., Any] | None,
    open_log: Callable[[], LogAdapter], plan_limit: int = PLAN_LIMIT,
) -> None:  # fmt: skip
    """Run a splitter to its end; ``function`` is the user's, for ``by``. All that it finds is durable then."""
    pages = Pages(context, options, plan_limit)
    given = values.read(options.input)
    if options.kind == TopicSplit.kind:
        _cut_topic(pages, given, open_log)
    elif function is None:
        with closing(GENERATORS[options.kind](given, pages.user, context.alive)) as entries:
            for entry in entries:
                pages.add(entry, own=True)
    else:
        with closing(items_of(function, SplitContext(context, pages), given["args"])) as items:
            for item in items:
                pages.add(item)
    pages.end()


def _cut_topic(pages: Pages, given: dict[str, Any], open_log: Callable[[], LogAdapter]) -> None:
    """Find the bounds, unless an earlier attempt has; make them durable; then add the spans, which follow from them."""
    from streamsched.worker.sources.topic import freeze, spans  # late: few look into a log

    bounds = pages.user
    if bounds is None:
        with closing(open_log()) as log:
            bounds = freeze(log, given)
        pages.cover(encode(bounds).encode(), wait=True)
    for entry in spans(given["name"], given["size"], bounds):
        pages.add(entry)


def items_of(function: Callable[..., Any], context: ChildContext, args: dict[str, Any]) -> Generator[Any, None, None]:
    """Yield what the user's function gives. Raise BadArguments where it does not take these arguments."""
    try:
        found = function(context, **args)
    except TypeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is None:
            raise BadArguments(f"{context.handler} does not take these arguments: {error}") from None
        raise
    if not isinstance(found, Iterable) or isinstance(found, str | bytes):
        raise BadItem(f"{context.handler} returned a value of type {type(found).__name__}: yield the items")
    yield from found
