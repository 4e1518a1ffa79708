"""The caller's variables, and all that must be known before a submit writes anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamsched.domain import bounds
from streamsched.domain.errors import InputError
from streamsched.domain.splitters.lists import ListSplit
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.template import ChildSpec, Param, Template, version
from streamsched.files.params_input import load_params
from streamsched.files.template_file import load_template, prepare
from streamsched.log.topics import PAYLOAD_LIMIT

EXAMPLES = Path(__file__).parents[3] / "examples"
TEMPLATE = Template(
    name="all-types",
    params={
        "n": Param(type="integer", minimum=0, default=3),
        "x": Param(type="number", default=0.5),
        "s": Param(type="string", default="", max_length=5),
        "b": Param(type="boolean", default=False),
        "files": Param(type="array", items="string", default=[]),
        "numbers": Param(type="array", items="integer", default=[]),
        "o": Param(type="object", default={}),
    },
    split=RangeSplit(first=1, last="${n}", size=1),
    child=ChildSpec(handler="a.b:c"),
)


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("n=5", 5), ("n=+1_000", 1000), ("x=5", 5), ("x=1e3", 1000.0), ("s=5", "5"), ("s=a=b", "a=b"),
        ("s=", ""), ("s=@no", "@no"), ("b=true", True), ("b=False", False), ('files=["a","b"]', ["a", "b"]),
        ("numbers=[1]", [1]), ('o={"a":{"b":null}}', {"a": {"b": None}}),
    ],
)  # fmt: skip
def test_a_pair_is_read_by_its_type(pair: str, value: object) -> None:
    given = load_params(TEMPLATE, [pair])
    assert given == {pair.partition("=")[0]: value}
    assert type(given[pair.partition("=")[0]]) is type(value)


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("n", "-p n: '=' is missing; write -p name=value"),
        ("n=abc", "-p n=abc: n: 'abc' is not of type integer; give it an integer, at least 0"),
        ("n=1.5", "'1.5' is not of type integer"),
        ("n=", "'' is not of type integer"),
        ("n=-1", "-1 is below the minimum; give it an integer, at least 0"),
        ("n=9223372036854775808", "beyond 64 bits"),
        ("n=" + "9" * 5000, "is not of type integer"),
        ("x=nan", "not a JSON number"),
        ("x=ten", "'ten' is not of type number"),
        ("b=yes", "'yes' is not of type boolean; give it true or false"),
        ("s=abcdef", "length 6 is above maxLength"),
        ("files=a,b", """not valid JSON (Expecting value, column 1); write -p files=["a","b"] or @FILE"""),
        ("files=[1]", "entry 0, 1, is not a string"),
        ("files={}", "{} is not an array"),
        ("files=@none.txt", "none.txt there is no such file"),
        ("numbers=@none.txt", "not valid JSON"),
        ("o={'a': 1}", """write -p o={"key":"value"}, quoted for the shell"""),
        ('o={"a":1,"a":2}', "the key a occurs twice"),
        ('o={"a":NaN}', "NaN is not a JSON number"),
        ("o=" + '{"a":' * 100_000, "nested too deep"),
        ("o=" + '{"a":' * 60 + "1" + "}" * 60, "nested more than 50 levels"),
        ("fils=[]", "template all-types has no variable 'fils'; did you mean files?"),
        ("=1", "has no variable ''"),
    ],
)
def test_a_wrong_pair_is_refused(pair: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_params(TEMPLATE, [pair])
    assert said in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_pair_given_twice_is_refused() -> None:
    with pytest.raises(InputError, match="-p n=2: n: is given twice; keep one"):
        load_params(TEMPLATE, ["n=1", "n=2"])


def test_lines_of_a_file_become_an_array(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"/a b\r\n\n/caf\xc3\xa9\n/raw\xff\n")
    given = load_params(TEMPLATE, [f"files=@{path}"])
    assert given == {"files": ["/a b", "/café", "/raw\udcff"]}
    assert json.loads(prepare(TEMPLATE, given).params_json)["files"] == given["files"]


@pytest.mark.parametrize(("name", "text"), [("p.yaml", "n: 7\ns: no\n"), ("p.json", '{"n": 7, "s": "no"}')])
def test_files_of_variables_and_pairs_over_them(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert load_params(TEMPLATE, ["n=8"], path) == {"n": 8, "s": "no"}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.yaml", "s: x\nm: 1\n", "p.yaml:2: m: template all-types has no variable 'm'"),
        ("p.yaml", "s: x\nn: '5'\n", 'p.yaml:2: n: "5" is not an integer; give it an integer, at least 0'),
        ("p.yaml", "- 1\n", "p.yaml:1: must be an object"),
        ("p.yaml", "x: .inf\n", "p.yaml:1: x: inf is not a JSON number"),
        ("p.yaml", "s: &a x\n", "p.yaml:1: s: &a: anchors"),
        ("p.yaml", "", "p.yaml: is empty"),
        ("p.json", '{"n": 1,\n "s" 2}', "p.json:2: is not valid JSON (Expecting ':' delimiter, column 6)"),
        ("p.json", '{"n": 1, "n": 2}', "p.json: the key n occurs twice"),
    ],
)
def test_a_wrong_file_of_variables_is_refused(name: str, text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_params(TEMPLATE, file=path)
    assert said in str(caught.value)


def test_too_many_bytes_of_variables_are_refused() -> None:
    params = {"files": ["x" * 1000] * 300}
    with pytest.raises(InputError, match=r"-p: the variables have 300,9\d\d bytes of JSON, the limit is 262,144"):
        load_params(TEMPLATE, [f"files={json.dumps(params['files'])}"])
    with pytest.raises(InputError, match="the limit is 262,144"):
        prepare(TEMPLATE, params)


def test_prepare_resolves_everything() -> None:
    path = EXAMPLES / "print-numbers.yaml"
    template = load_template(path)
    prepared = prepare(template, {"n": 2500}, path)
    assert prepared.params_json == '{"chunk":1000,"n":2500}'
    assert prepared.plan.children == 3
    assert prepared.plan.document == '{"range":{"first":1,"last":2500,"size":1000}}'
    assert Template.from_json(prepared.template_json) == template
    assert prepared.version == version(template)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, ":4: params.n: variable n is missing; give it a value: an integer, at least 1"),
        ({"n": "5"}, ':4: params.n: variable n "5" is not an integer; give it an integer, at least 1'),
        ({"n": True}, "variable n true is not an integer"),
        ({"n": 5, "chnk": 1}, "variable chnk is unknown; did you mean chunk?"),
        ({"n": 10**7 + 1, "chunk": 1}, ":7: split.range: the split gives 10,000,001 children, the limit is"),
    ],
)
def test_prepare_refuses_with_the_line_of_the_template(params: dict[str, object], said: str) -> None:
    path = EXAMPLES / "print-numbers.yaml"
    with pytest.raises(InputError) as caught:
        prepare(load_template(path), params, path)
    assert str(caught.value).startswith(f"{path}:")
    assert said in str(caught.value)


def test_without_a_file_an_error_names_the_template() -> None:
    with pytest.raises(InputError, match=r"params\.n: template all-types: variable n -1 is below the minimum"):
        prepare(TEMPLATE, {"n": -1})


def test_a_size_from_a_variable_must_be_one_at_least() -> None:
    template = Template(
        name="t",
        params={"size": Param(type="integer")},
        split=ListSplit(items=[1, 2, 3], size="${size}"),
        child=ChildSpec(handler="a.b:c", args={"items": "${child.items}"}),
    )
    assert prepare(template, {"size": 2}).plan.children == 2
    with pytest.raises(InputError, match=r"variable size split\.list\.size must be an integer of at least 1"):
        prepare(template, {"size": 0})


def test_domain_and_topics_agree_on_the_limit_of_a_payload() -> None:
    assert bounds.PAYLOAD_LIMIT == PAYLOAD_LIMIT
