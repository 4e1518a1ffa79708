"""``docs/values.md``: each value is kept as it is or refused by name, by the writer, ``try`` and ``run`` alike."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from streamsched import Client
from streamsched.commands.request import want
from streamsched.domain import values
from streamsched.domain.errors import InputError
from streamsched.domain.kinds import names_of
from streamsched.domain.splitters.lists import ListSplit
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.splitting import ChildArguments
from streamsched.domain.template import ChildSpec, Param, Template, TemplateError
from tests.support.cli import Cli
from tests.unit.domain import values_handlers
from tests.unit.domain.values_handlers import KEPT, REFUSED

LIMIT = 1 << 20
SHOWN = ["nan", "set", "bytes", "hostile class", "equal keys", "two halves", "cycle", "dataclass"]


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept(name: str) -> None:
    value, expected = KEPT[name]
    found = values.read(values.write(value, "result", LIMIT).decode())
    assert repr(found) == repr(expected)  # the sign of a zero, and the type, too


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named(name: str) -> None:
    value, said = REFUSED[name]
    with pytest.raises(values.Refused) as caught:
        values.write(value, "result", LIMIT)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", ["x" * 98, "é" * 49, ("x" * 96,), ["\udcff" * 16], {"k": Decimal(1), "x": "x" * 90}])
def test_what_is_too_large_is_told_by_its_size(value: Any) -> None:
    with pytest.raises(values.TooLarge, match="bytes of JSON"):
        values.write(value, "result", 99)


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", "[1, -Infinity]", "1e400", "[-1e999]", "9" * 4_301, "[" * 100_000, '"\\ud8"', "1 2", "'x'"],
)
def test_what_is_no_json_is_none_of_ours(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        values.read(text)


@pytest.mark.parametrize("text", ['{"a":[1,null,"x"]}', '"\\udcff"', '"\\ud83d\\ude00"', "123456789012345678901"])
def test_what_former_versions_wrote_is_read(text: str) -> None:
    assert values.read(text) == json.loads(text)


def test_a_class_cannot_hide_its_name() -> None:
    assert names_of(UnicodeDecodeError) == (
        "UnicodeDecodeError", "UnicodeError", "ValueError", "Exception", "BaseException",
    )  # fmt: skip
    assert names_of(values_handlers.Hostile) == ("tests.unit.domain.values_handlers.Hostile",)
    many: type[Any] = type("Base", (), {"__module__": 5})
    for number in range(30):
        many = type(f"C{number}" + "x" * 500, (many,), {"__module__": "m\udcff"})
    assert len(names_of(many)) == 16
    assert all(len(name) < 250 and name.isascii() for name in names_of(many))


# --- what is submitted ----------------------------------------------------------------------------------------------


def template(items: object = "${values}", **more: Any) -> Template:
    return Template(
        name="t",
        params={"values": Param(type="array"), "text": Param(type="string", default="x")},
        split=ListSplit(items=items),  # type: ignore[arg-type]
        child=ChildSpec(handler="m:f", args={"value": "${child.item}"}, **more),
    )


@pytest.mark.parametrize("name", KEPT)
def test_parameters_are_kept_as_results_are(name: str) -> None:
    value, expected = KEPT[name]
    if name in ("deep", "large integer", "integers"):  # beyond what is submitted
        with pytest.raises(InputError, match="values: "):
            want(template(), {"values": [value]})
        return
    wanted = want(template(), {"values": (value,)})
    prepared = wanted.prepared
    arguments = ChildArguments(prepared.template, values.read(prepared.params_json), prepared.plan.document)
    assert values.read(arguments(0)) == {"value": expected}


@pytest.mark.parametrize("name", REFUSED)
def test_parameters_are_refused_before_anything_is_written(name: str) -> None:
    value, said = REFUSED[name]
    with pytest.raises(InputError) as caught:
        want(template(), {"values": [value]})
    assert "values" in str(caught.value)
    if "deep" not in name and "integer" not in name:
        assert said.partition(": ")[2].partition(";")[0] in str(caught.value)


@pytest.mark.parametrize("name", [1, None, (1,), b"values", float("nan")])
def test_a_variable_whose_name_is_no_text_is_unknown(name: Any) -> None:
    with pytest.raises(InputError, match="is unknown"):
        want(template(), {"values": [], name: 1})


@pytest.mark.parametrize("name", ["nan", "set", "integer key", "two halves", "cycle"])
def test_a_template_refuses_the_same(name: str) -> None:
    value, _ = REFUSED[name]
    with pytest.raises(TemplateError):
        template(items=[value])
    with pytest.raises(TemplateError):
        ChildSpec(handler="m:f", args={"value": value})
    with pytest.raises(TemplateError):
        Template(
            name="t",
            params={"o": Param(type="object", default={"x": value})},
            split=RangeSplit(first=1, last=1, size=1),
            child=ChildSpec(handler="m:f"),
        )


def test_half_a_character_makes_no_whole_one_with_what_follows() -> None:
    args = {"value": "${child.item}\ude00"}
    wanted = Template(
        name="t", params={"values": Param(type="array")}, split=ListSplit(items="${values}"),
        child=ChildSpec(handler="m:f", args=args),
    )  # fmt: skip
    with pytest.raises(InputError, match="half a character"):
        want(wanted, {"values": ["\ud83d"]})
    kept = want(wanted, {"values": ["x\udcff"]}).prepared
    arguments = ChildArguments(kept.template, values.read(kept.params_json), kept.plan.document)
    assert values.read(arguments(0)) == {"value": "x\udcff\ude00"}


# --- try and run ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A folder in which every value of the tables was returned, and kept as a state."""
    cli = Cli(tmp_path_factory.mktemp("values"))
    (cli.folder / "vh.py").write_text(Path(values_handlers.__file__).read_text())
    for task, handler in (("given", "give"), ("kept", "keep"), ("echoed", "echo"), ("again", "go_on")):
        argument = "name" if task in ("given", "kept") else "value"
        (cli.folder / f"{task}.yaml").write_text(
            f"name: {task}\nparams: {{names: {{type: array}}}}\n"
            'split: {list: {items: "${names}"}}\n'
            f'child: {{handler: "vh:{handler}", args: {{{argument}: "${{child.item}}"}}, '
            "retry: {max_attempts: 2, initial_interval: 1ms}}\nfailure: {tolerate: 100%}\n"
        )
    for task in ("given", "kept"):
        cli("run", f"{task}.yaml", "-p", f"names={json.dumps([*KEPT, *REFUSED_ONLY])}", "--task-id", task)
    (cli.folder / "names.txt").write_bytes(b"odd\xff\nplain\n\xf0\x9f\n")
    for task in ("echoed", "again"):
        cli("run", f"{task}.yaml", "-p", "names=@names.txt", "--task-id", task)
    return cli


REFUSED_ONLY = [name for name in REFUSED if name not in KEPT]
NAMES = ["odd\udcff", "plain", "\udcf0\udc9f"]


@pytest.mark.slow
def test_run_keeps_or_refuses_every_result(cli: Cli) -> None:
    with Client(data_dir=cli.folder / ".streamsched") as client:
        children = list(client.children("given"))
    for child, name in zip(children, [*KEPT, *REFUSED_ONLY], strict=True):
        if name in KEPT:
            assert (child.state, repr(child.result)) == ("succeeded", repr(KEPT[name][1])), name
        else:
            assert (child.state, child.error_type, child.attempt) == ("failed", "ResultNotSerialisable", 1), name
            assert child.message is not None
            assert REFUSED[name][1] in child.message.replace("vh.", "tests.unit.domain.values_handlers.")


@pytest.mark.slow
def test_every_command_tells_the_same_results(cli: Cli) -> None:
    expected = [value for _, value in KEPT.values()]
    assert [line["result"] for line in cli.lines("results", "given")] == expected
    assert [line["result"] for line in cli.lines("children", "given") if line["state"] == "succeeded"] == expected
    cli.here("audit", "export", "all.jsonl", "--task", "given")
    rows = [json.loads(line) for line in (cli.folder / "all.jsonl").read_text().splitlines()]
    told = {row["child"]: row["result"] for row in rows if row["event"] == "ChildCompleted"}
    assert [told[child] for child in sorted(told)] == expected


def test_states_are_kept_or_refused_as_results_are(cli: Cli) -> None:
    for line, name in zip(cli.lines("results", "kept"), [*KEPT, *REFUSED_ONLY], strict=True):
        assert line["result"] == "kept" if name in KEPT else line["result"].startswith("refused state"), name


def test_names_that_are_no_text_come_through_as_the_same_text(cli: Cli) -> None:
    """From ``-p files=@list.txt`` to the handler, its state, its next attempt, and back."""
    with Client(data_dir=cli.folder / ".streamsched") as client:
        assert [child.result for child in client.results("echoed")] == NAMES
        assert [child.result for child in client.results("again")] == NAMES
        assert client.status("echoed").params == {"names": NAMES}
    assert cli.json("status", "again")["params"] == {"names": NAMES}
    assert [line["result"] for line in cli.lines("results", "again")] == NAMES


def test_try_agrees_about_names(cli: Cli) -> None:
    done = cli("try", "echoed.yaml", "-p", "names=@names.txt", "--json")
    assert done.stdout == '{"child": 0, "result": "odd\\udcff"}\n'


@pytest.mark.parametrize("name", ["text subclass", "integers", "half characters", "named tuple", *SHOWN])
def test_try_agrees_about_results(cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    wanted = ("try", "given.yaml", "-p", f"names={json.dumps([name])}", "--json")
    if name in KEPT:
        assert json.loads(cli.here(*wanted).stdout)["result"] == KEPT[name][1]
    else:
        assert "ResultNotSerialisable: result" in cli.here(*wanted, code=1).stderr
