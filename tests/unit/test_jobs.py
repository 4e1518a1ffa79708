"""Functions as jobs: the template that a file would hold, and what is wrong with it, in one line."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import pytest

import streamsched
from streamsched import ChildContext, Client, InputError, Job, LocalTransport, Result
from streamsched.domain.splitters import SPLITTERS
from streamsched.domain.template import version
from streamsched.files.template_file import load_template
from streamsched.files.template_model import TEMPLATE
from streamsched.split import Split, by, bytes_, dates, files, grid, items, lines, range_, ranges, topic
from streamsched.testing import Cluster, run_child
from streamsched.worker.errors import BadArguments
from streamsched.worker.handlers import Handlers

if TYPE_CHECKING:
    from streamsched.log.port import Record as Unknown

HERE = "tests.unit.test_jobs"
MAKERS: Mapping[str, Callable[..., Split]] = {
    "range": ranges, "list": items, "grid": grid, "dates": dates,
    "files": files, "lines": lines, "bytes": bytes_, "topic": topic, "by": by,
}  # fmt: skip


@streamsched.job(split=items("${files}", size=2), params={"files": {"type": "array", "items": "string"}}, timeout="10m")
def resize(ctx: ChildContext, paths: list[str], width: int = 640) -> dict[str, Any]:
    """Resize pictures."""
    return {"paths": paths, "width": width, "child": ctx.child_index}


def total(ctx: ChildContext, results: Iterator[Result], year: int) -> float:
    return year + sum(float(result.value) for result in results)


@streamsched.job(
    split=dates(date(2024, 1, 1), "${until}", every="month", zone="Europe/Berlin"),
    params={"until": str, "year": {"minimum": 2000}},
    retry={"max_attempts": 2, "initial_interval": timedelta(seconds=2), "non_retryable": [ValueError, InputError]},
    failure={"tolerate": "1%", "on": "run_all", "rules": [{"error": InputError, "do": "skip"}]},
    heartbeat=timedelta(minutes=1, milliseconds=500),
    reduce=total,
    schedule={"cron": "0 3 * * *", "zone": "Europe/Berlin", "priority": 3},
    name="nightly-load",
)
def load(
    ctx: ChildContext,
    start: str,
    end: str,
    mode: Literal["all", "new"] = "new",
    rate: Annotated[float, "per second"] = 1,
    tags: Sequence[str] = ("a", "b"),
    dry: bool = False,
    *,
    more: dict[str, int] | None = {"a": 1},  # noqa: B006
) -> Unknown:  # known to type checkers only, and not looked at
    raise ConnectionError("there is no database here")


@streamsched.job(split=grid({"rate": [0.1, 0.01], "seed": range(1, 11)}))
def train(ctx: ChildContext, seed: int, rate: float, epochs: int) -> None: ...


@streamsched.job(split=files(Path("in/*.png"), count=100, timeout=timedelta(hours=1)))
def shrink(ctx: ChildContext, paths: list[str], width: int = 640) -> int:
    return len(paths) * width


def pieces(ctx: ChildContext, year: int, prefix: str) -> Iterator[str]:
    yield from (f"{prefix}{year + number}" for number in range(3))


@streamsched.job(split=by(pieces, {"prefix": "p"}, retry={"max_attempts": 9}), params={"year": {"maximum": 3000}})
def piece(ctx: ChildContext, name: str) -> str:
    return f"{name} of {ctx.child_index}"


@streamsched.job(split=bytes_("${inputs}", size="64MB", format="jsonl"), params={"inputs": list[str]})
def amounts(ctx: ChildContext, column: str = "amount") -> float:
    return sum(float(record[column]) for record in ctx.records())


@streamsched.job(split=topic("orders", begin=datetime(2026, 1, 31, 6, tzinfo=UTC), size="${size}"))
def spans(ctx: ChildContext, partition: int, *, size: int = 100) -> None: ...


@streamsched.job(
    split=lines("list.txt", size=10, empty=True),
    needs={"zone": "a"},
    queue="gpu",
    deadline=timedelta(hours=6),
    parallelism=5,
    rate="10/s",
    fairness={"key": "acme", "weight": 2},
    labels={"team": "data"},
)
def listed(ctx: ChildContext, names: list[str]) -> None: ...


@streamsched.job(split=items("@list.txt"))
def named(ctx: ChildContext, name: str) -> None: ...


@streamsched.job(split=ranges(1, 3, 1), args={"more": {"place": "${child.index} of ${label}"}, "label": "${label}"})
def free(ctx: ChildContext, number: int, label: str = "x", **others: Any) -> None: ...


YAML = {
    "resize": f"""
        name: resize
        params: {{files: {{type: array, items: string}}, width: {{type: integer, default: 640}}}}
        split: {{list: {{items: "${{files}}", size: 2}}}}
        child: {{handler: "{HERE}:resize", timeout: 600, args: {{paths: "${{child.items}}", width: "${{width}}"}}}}
    """,
    "load": f"""
        name: nightly-load
        params:
          until: {{type: string}}
          year: {{type: integer, minimum: 2000}}
          mode: {{type: string, enum: [all, new], default: new}}
          rate: {{type: number, default: 1}}
          tags: {{type: array, items: string, default: [a, b]}}
          dry: {{type: boolean, default: false}}
          more: {{type: object, default: {{a: 1}}}}
        split: {{dates: {{start: "2024-01-01", end: "${{until}}", every: month, zone: Europe/Berlin}}}}
        child:
          handler: {HERE}:load
          args: {{start: "${{child.start}}", end: "${{child.end}}", mode: "${{mode}}", rate: "${{rate}}",
                 tags: "${{tags}}", dry: "${{dry}}", more: "${{more}}"}}
          heartbeat: 1m500ms
          retry: {{max_attempts: 2, initial_interval: 2s,
                  non_retryable: [ValueError, streamsched.domain.errors.InputError]}}
        reduce: {{handler: "{HERE}:total", args: {{year: "${{year}}"}}}}
        failure: {{tolerate: 1%, on: run_all,
                  rules: [{{error: streamsched.domain.errors.InputError, do: skip}}]}}
    """,
    "train": f"""
        name: train
        params: {{epochs: {{type: integer}}}}
        split: {{grid: {{axes: {{rate: [0.1, 0.01], seed: {{first: 1, last: 10}}}}}}}}
        child: {{handler: "{HERE}:train",
                args: {{seed: "${{child.point.seed}}", rate: "${{child.point.rate}}", epochs: "${{epochs}}"}}}}
    """,
    "free": f"""
        name: free
        params: {{label: {{type: string, default: x}}, number: {{type: integer}}}}
        split: {{range: {{first: 1, last: 3, size: 1}}}}
        child: {{handler: "{HERE}:free", args: {{label: "${{label}}", number: "${{number}}",
                more: {{place: "${{child.index}} of ${{label}}"}}}}}}
    """,
    "shrink": f"""
        name: shrink
        params: {{width: {{type: integer, default: 640}}}}
        split: {{files: {{glob: "in/*.png", count: 100}}, timeout: 1h}}
        child: {{handler: "{HERE}:shrink", args: {{paths: "${{child.items}}", width: "${{width}}"}}}}
    """,
    "piece": f"""
        name: piece
        params: {{year: {{type: integer, maximum: 3000}}}}
        split: {{by: "{HERE}:pieces", args: {{year: "${{year}}", prefix: p}}, retry: {{max_attempts: 9}}}}
        child: {{handler: "{HERE}:piece", args: {{name: "${{child.item}}"}}}}
    """,
    "amounts": f"""
        name: amounts
        params: {{inputs: {{type: array, items: string}}, column: {{type: string, default: amount}}}}
        split: {{bytes: {{files: "${{inputs}}", size: 64MB, format: jsonl}}}}
        child: {{handler: "{HERE}:amounts", args: {{column: "${{column}}"}}}}
    """,
    "spans": f"""
        name: spans
        params: {{size: {{type: integer, default: 100}}}}
        split: {{topic: {{name: orders, from: "2026-01-31T06:00:00+00:00", size: "${{size}}"}}}}
        child: {{handler: "{HERE}:spans", args: {{partition: "${{child.partition}}", size: "${{child.size}}"}}}}
    """,
    "listed": f"""
        name: listed
        split: {{lines: {{file: list.txt, size: 10, empty: true}}}}
        child: {{handler: "{HERE}:listed", args: {{names: "${{child.items}}"}}, needs: {{zone: a}}}}
        queue: gpu
        deadline: 6h
        parallelism: 5
        rate: 10/s
        fairness: {{key: acme, weight: 2}}
        labels: {{team: data}}
    """,
    "named": f"""
        name: named
        split: {{list: "@list.txt"}}
        child: {{handler: "{HERE}:named", args: {{name: "${{child.item}}"}}}}
    """,
}  # fmt: skip
JOBS: Mapping[str, Job[..., Any]] = {
    "resize": resize, "load": load, "train": train, "free": free, "shrink": shrink, "piece": piece, "amounts": amounts,
    "spans": spans, "listed": listed, "named": named,
}  # fmt: skip


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_the_template_that_a_file_holds(name: str, tmp_path: Path) -> None:
    made = JOBS[name]
    (tmp_path / "file.yaml").write_text(YAML[name])
    filed = load_template(tmp_path / "file.yaml")
    assert made.version == version(filed)
    assert dataclasses.replace(filed, split=made.template.split) == made.template
    (tmp_path / "own.yaml").write_text(made.to_yaml())
    assert load_template(tmp_path / "own.yaml") == filed


def test_every_field_of_a_template_is_an_option() -> None:
    fields = {field.get("validation_alias", name) for name, field in TEMPLATE.items()}
    assert {"queue", "deadline"} < fields
    assert fields - {"child"} <= set(inspect.signature(streamsched.job).parameters)  # those of child are, too


def test_a_yaml_says_what_was_given_and_no_default() -> None:
    assert resize.to_yaml() == (
        "name: resize\nparams:\n  files:\n    type: array\n    items: string\n  width:\n    type: integer\n"
        "    default: 640\nsplit:\n  list:\n    items: ${files}\n    size: 2\nchild:\n"
        f"  handler: {HERE}:resize\n  args:\n    paths: ${{child.items}}\n    width: ${{width}}\n  timeout: 10m\n"
    )


@pytest.mark.parametrize(
    "default", ["no", "2024-01-01", "12:30", "1_000", "a: b", "${x}", "é\n\x07", "", "~", "-1e3", [1, [2]]]
)
def test_a_yaml_is_read_as_what_it_was_written_from(default: object, tmp_path: Path) -> None:
    def work(ctx: ChildContext, it: str) -> None: ...

    work.__qualname__ = "work"
    kind = "array" if isinstance(default, list) else "string"
    params = {"it": {"type": kind, "default": default}, "other": {"type": kind, "default": default}}
    made: Job[..., None] = streamsched.job(split=ranges(1, 1, 1), params=params)(work)
    (tmp_path / "own.yaml").write_text(made.to_yaml())
    assert load_template(tmp_path / "own.yaml") == made.template


def test_each_splitter_has_its_function() -> None:
    assert MAKERS.keys() == SPLITTERS.keys()
    for kind, make in MAKERS.items():
        known = {each.name for each in dataclasses.fields(SPLITTERS[kind]) if not each.metadata.get("hidden")}
        beside = {"timeout", "retry"} if SPLITTERS[kind].outside else set()
        assert known | beside == set(make.__annotations__) - {"return"}
    assert range_ is ranges


@pytest.mark.parametrize(
    ("split", "document"),
    [
        (ranges(1, "${n}", size=10), {"range": {"first": 1, "last": "${n}", "size": 10}}),
        (items(Path(each) for each in "ab"), {"list": {"items": ["a", "b"]}}),
        (items([(1, date(2024, 1, 2))], size="${n}"), {"list": {"items": [[1, "2024-01-02"]], "size": "${n}"}}),
        (grid({"a": "${l}", "b": range(0, 6, 3)}, size=5), {"grid": {"axes": {"a": "${l}", "b": [0, 3]}, "size": 5}}),
        (
            dates(datetime(2024, 1, 1, 6, tzinfo=UTC), "2025-01-01"),
            {"dates": {"start": "2024-01-01T06:00:00+00:00", "end": "2025-01-01"}},
        ),
    ],
)  # fmt: skip
def test_a_split_is_plain_data(split: Split, document: dict[str, Any]) -> None:
    assert split.document() == document


def test_a_job_is_called_as_its_function_and_is_a_handler() -> None:
    assert resize(ChildContext(LocalTransport()), ["a"], width=5) == {"paths": ["a"], "width": 5, "child": 0}
    assert (resize.__name__, resize.__doc__, resize.__module__) == ("resize", "Resize pictures.", HERE)
    assert repr(resize) == f"<job {HERE}:resize>"
    handler = Handlers([HERE]).resolve(f"{HERE}:resize")
    assert handler is resize.__wrapped__  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(resize)) is resize  # noqa: S301
    with pytest.raises(TypeError, match="is for functions of a module, not for <class"):
        streamsched.job(split=ranges(1, 2, 1))(Path)
    with pytest.raises(TypeError, match=r"a function of streamsched\.split returns, not \{'range'"):
        streamsched.job(split={"range": {}})  # type: ignore[arg-type]


def test_it_is_planned_and_tried_here() -> None:
    files = [f"{number}.png" for number in range(5)]
    assert resize.plan(files=files).children == 3
    assert resize.plan(files=files).arguments()(2) == '{"paths":["4.png"],"width":640}'
    assert resize.try_child(2, files=files, width=7) == {"paths": ["4.png"], "width": 7, "child": 2}
    with pytest.raises(InputError, match="there is no child 3: the task has 3, counted from 0; choose another"):
        resize.try_child(3, files=files)
    with pytest.raises(InputError, match="there is no child -1"):
        resize.try_child(-1, files=files)
    with pytest.raises(InputError, match=r"template resize: variable widht is unknown; did you mean width"):
        resize.plan(files=files, widht=7)
    with pytest.raises(InputError, match='variable width "wide" is not an integer'):
        resize.submit(files=files, width="wide")
    with pytest.raises(ConnectionError, match="there is no database here"):
        load.try_child(0, until="2024-02-01", year=2024)


@streamsched.job(split=ranges(1, 6, 2), reduce=total, params={"year": {"default": 2024}})
def add(ctx: ChildContext, first: int, last: int) -> int:
    return sum(range(first, last + 1))


def test_a_function_that_another_decorator_wraps_has_its_own_annotations() -> None:
    code = "from __future__ import annotations\nclass Width(int): ...\ndef shrink(ctx, width: Width = 5): ...\n"
    inner: dict[str, Any] = {"__name__": "pictures"}
    exec(code, inner)  # noqa: S102

    @wraps(inner["shrink"])
    def outer(*args: Any, **kwargs: Any) -> None: ...

    template = streamsched.job(split=ONE)(outer).template
    assert template.child.handler == "pictures:shrink"
    assert template.params["width"].to_dict() == {"type": "integer", "default": 5}


def test_it_runs_in_the_cluster_of_the_test_kit() -> None:
    with Cluster() as cluster:
        task = cluster.submit(add)
        assert cluster.results(task) == [3, 7, 11]
        assert cluster.result(task) == 2024 + 21
        assert cluster.result(cluster.submit(add, {"year": 0})) == 21
    assert run_child(add, {"first": 1, "last": 3}).result == 6


def test_what_its_split_finds_is_planned_and_tried_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for number in range(250):
        (tmp_path / "in" / f"{number:03}.png").touch()
    planned = shrink.plan()
    assert planned.children == 3
    assert planned.arguments()(2).startswith(f'{{"paths":["{tmp_path}/in/200.png",')
    assert shrink.try_child(2, width=3) == 50 * 3
    with pytest.raises(InputError, match="there is no child 3: the task has 3"):
        shrink.try_child(3)
    assert [streamsched.plan(piece, {"year": 2024}).arguments()(child) for child in range(3)] == [
        f'{{"name":"p{year}"}}' for year in (2024, 2025, 2026)
    ]
    assert piece.try_child(1, year=2024) == "p2025 of 1"
    (tmp_path / "a.jsonl").write_text("".join(f'{{"amount": {number}}}\n' for number in range(100)))
    assert amounts.try_child(inputs=["*.jsonl"]) == sum(range(100))
    with pytest.raises(InputError, match=r"template amounts: split.bytes: .*b\.jsonl"):
        amounts.plan(inputs=["b.jsonl"])
    (tmp_path / "list.txt").write_text("a\nb\n")
    assert (listed.plan().children, named.plan().children) == (1, 2)


class Mode(Enum):
    FAST = "fast"
    GOOD = "good"


@dataclasses.dataclass
class Box:
    width: int
    at: date = date(2024, 1, 2)


class Point(msgspec.Struct):
    x: int


@streamsched.job(split=ranges(1, 1, 1))
def made(
    ctx: ChildContext,
    number: int,
    box: Box,
    point: Point,
    folder: Path = Path("in"),
    day: date = date(2024, 1, 1),
    at: datetime = datetime(2024, 1, 1, tzinfo=UTC),
    limit: timedelta = timedelta(minutes=10),
    mode: Mode = Mode.GOOD,
    share: Decimal = Decimal("0.1"),
    some: frozenset[int] = frozenset({1}),
    boxes: Sequence[Box] = (Box(1),),
) -> None: ...


warmed: list[str] = []


def warm() -> None:
    warmed.append("warm")


@streamsched.job(split=ranges(1, 5, 1), setup=warm, concurrency=5, memory="1GB")
async def awaited(ctx: ChildContext, number: int, box: Box, day: date = date(2024, 1, 1)) -> list[Any]:
    await asyncio.sleep(0)
    return [number, box.width, box.at.isoformat(), day.year, *warmed]


def test_a_child_that_is_tried_gets_what_an_executor_makes_of_its_arguments() -> None:
    assert awaited.template.child.setup == f"{HERE}:warm"
    assert awaited.try_child(3, box=Box(7)) == [4, 7, "2024-01-02", 2024, "warm"]
    with pytest.raises(BadArguments, match="argument day: expected date, and got"):
        awaited.try_child(3, box=Box(7), day="soon")


def test_a_function_among_the_fields_of_child_is_named() -> None:
    document = streamsched.job(split=ONE, setup=plain, reuse=5)(plain)._document.value
    assert isinstance(document, dict)
    assert document["child"] == {
        "handler": f"{HERE}:plain",
        "args": {"it": "${it}"},
        "setup": f"{HERE}:plain",
        "reuse": 5,
    }


def test_what_executors_make_of_json_is_declared_and_given_as_json() -> None:
    declared = {name: param.to_dict() for name, param in made.template.params.items()}
    assert declared == {
        "box": {"type": "object"},
        "point": {"type": "object"},
        "folder": {"type": "string", "default": "in"},
        "day": {"type": "string", "default": "2024-01-01"},
        "at": {"type": "string", "default": "2024-01-01T00:00:00Z"},
        "limit": {"type": "string", "default": "PT600S"},
        "mode": {"type": "string", "enum": ["fast", "good"], "default": "good"},
        "share": {"type": "string", "default": "0.1"},
        "some": {"type": "array", "items": "integer", "default": [1]},
        "boxes": {"type": "array", "items": "object", "default": [{"width": 1, "at": "2024-01-02"}]},
    }
    given = made.request(box=Box(2), point=Point(3), day=date(2025, 1, 1), mode=Mode.FAST).prepared
    assert '"box":{"at":"2024-01-02","width":2}' in given.params_json
    assert '"day":"2025-01-01"' in given.params_json
    with pytest.raises(InputError, match=r"variable folder.*base64"):
        made.request(box=Box(2), point=Point(3), folder=b"in")


def local() -> Callable[..., None]:
    def work(ctx: ChildContext) -> None: ...

    return work


def plain(ctx: ChildContext, it: int) -> None: ...


def bare(it: int) -> None: ...


def nothing() -> None: ...


def by_place(ctx: ChildContext, it: int, /) -> None: ...


def untyped(ctx, it) -> None: ...  # type: ignore[no-untyped-def]


def unknown(ctx: ChildContext, it: Unknown) -> None: ...


def optional(ctx: ChildContext, it: int | None = None) -> None: ...


def raw(ctx: ChildContext, it: bytes) -> None: ...


def mixed(ctx: ChildContext, it: int | str) -> None: ...


def reserved(ctx: ChildContext, client: str) -> None: ...


def _private(ctx: ChildContext) -> None: ...


def in_main(ctx: ChildContext) -> None: ...


in_main.__module__ = "__main__"
ONE = ranges(1, 5, 2)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (local(), {}, r"^job work: the function is defined inside local, where .*; move it to the top"),
        (in_main, {}, r"^job in_main: the function is in __main__, .*; move it into .* 'from jobs import in_main'"),
        (lambda ctx: None, {}, r"^job <lambda>: the function is a lambda"),
        (Client.submit, {}, r"^job submit: the function is a method, which a worker cannot import; write a function"),
        (nothing, {}, r"^job nothing: nothing\(\).* does not take the context first; write def nothing\(ctx, \.\.\.\)"),
        (by_place, {}, r"the parameter it can only be given by its place; .* move the / before it"),
        (untyped, {}, r"^job untyped: params.it: has no type; annotate it with .* params=\{'it'"),
        (unknown, {}, r"params.it: its annotation 'Unknown' has no value here \(NameError: .*\); annotate it"),
        (optional, {}, r"params.it.default: null is not a value; .* args=\{'it': None\}"),
        (raw, {}, r"params.it: bytes is not a type that a variable can have"),
        (mixed, {}, r"params.it: int \| str is not a type"),
        (_private, {}, r"^job _private: child.handler: .* is private"),
        (plain, {"args": {"at": 1}}, r"^job plain: args.at: plain has no parameter 'at'; its parameters are it"),
        (plain, {"args": {"it": "${child.itme}"}}, r"child.args.it: \$\{child.itme\} is unknown"),
        (plain, {"params": {"it": complex}}, r"params.it: complex is not a type"),
        (plain, {"params": {"more": {"typ": "integer"}}}, r"params.more.typ: unknown key typ; did you mean type"),
        (plain, {"split": ranges(1, "${n}", 2)}, r"split.range.last: \$\{n\} is unknown in split"),
        (plain, {"split": items([float("nan")])}, r"nan is not a JSON number"),
        (plain, {"memmory": "2GB"}, r"^job plain: child.memmory: unknown key memmory"),
        (plain, {"handler": "a:b"}, r"child.handler: is the function itself; remove it"),
        (plain, {"timeout": "soon"}, r"child.timeout: 'soon' is not a duration"),
        (plain, {"retry": {"max_attempts": "4"}}, r"child.retry.max_attempts: must be a whole number"),
        (plain, {"failure": {"tolerate": "x"}}, r"failure.tolerate: 'x' is neither"),
        (plain, {"reduce": bare}, r"^job bare: bare\(.*\).* does not take the context and the results first"),
        (plain, {"reduce": {"handler": Path}}, r"reduce.handler: <class .*> is not a function"),
        (plain, {"reduce": {"timeout": 5}}, r"reduce.handler: is missing"),
        (plain, {"name": "a b"}, r"name: 'a b' is not a name"),
        (reserved, {}, r"variable client has the name of an option here; rename it, or use client.submit"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_when_the_job_is_used(
    function: Callable[..., Any], options: dict[str, Any], message: str
) -> None:
    made = streamsched.job(**{"split": ONE, **options})(function)
    for use in (made.plan, made.submit, made.run, made.request, made.try_child, made.create_schedule):
        with pytest.raises(InputError, match=message):
            use()


def test_a_local_function_with_a_name_for_its_reserved_variable_has_another_way(tmp_path: Path) -> None:
    made = streamsched.job(split=ONE)(reserved)
    with Client(data_dir=tmp_path) as client:
        assert client.submit(made, {"client": "c"}).status().params == {"client": "c"}


def test_it_is_submitted_to_a_fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(data_dir=tmp_path / "new") as client:
        task = resize.submit(files=["a"], task_id="t", priority=2, client=client)
        assert (task.first, task.status().priority, task.status().template) == (True, 2, "resize")
        requests = [resize.request(files=[each], task_id=each) for each in ("a", "b", "t")]
        with pytest.raises(streamsched.TaskConflict, match="task id 't' is taken"):
            client.submit_many(requests)
        assert len(client.tasks()) == 3
    monkeypatch.setenv("STREAMSCHED_DATA_DIR", str(tmp_path / "own"))
    with resize.submit(files=["a"]) as own:
        assert own.status().state == "requested"


def test_its_schedule_is_created(tmp_path: Path) -> None:
    with Client(data_dir=tmp_path) as client:
        made = load.create_schedule(client=client, until="${tick.nominal:date}", year=2024)
        assert made.status is not None
        assert (made.status.schedule_id, made.status.template, made.status.priority) == (
            "nightly-load",
            "nightly-load",
            3,
        )
        assert made.status.template_version == load.version
        assert made.status.coming[0].hour == 3
        assert made.status.created_at <= datetime.now(UTC)
        load.create_schedule(client=client, schedule_id="other", until="2024-05-01", year=2024)
        assert [each.schedule_id for each in client.schedules()] == ["nightly-load", "other"]
        with pytest.raises(InputError, match="job resize: holds no schedule; write schedule"):
            resize.create_schedule(client=client, files=[])
        with pytest.raises(InputError, match=r"schedule\.cron"):
            streamsched.job(split=ONE, schedule={"cron": "x"})(plain).create_schedule(client=client, it=1)


def test_importing_what_a_module_of_jobs_needs_is_cheap() -> None:
    code = "import sys\nfrom streamsched import job\nfrom streamsched.split import ranges\n"
    code += "print(*(m for m in sys.modules if m.startswith(('streamsched', 'msgspec', 'yaml', 'inspect'))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    ours = {"streamsched", "streamsched.version", "streamsched.jobs", "streamsched.split"}
    assert set(done.stdout.split()) - {"inspect"} == ours
