"""Handlers with annotations, resolved when they are needed; executors import this module by its bare name."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

import msgspec
import pydantic

if TYPE_CHECKING:
    from nowhere import Ctx, Unknown  # type: ignore[import-not-found]


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Box:
    width: int
    at: Path | None = None


class Tree(msgspec.Struct):
    name: str
    below: list[Tree] = []


class Row(TypedDict):
    id: int


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    day: date
    many: Annotated[int, pydantic.Field(ge=1)] = 1


@pydantic.dataclasses.dataclass
class Checked:
    size: Annotated[int, pydantic.Field(gt=0)]


def everything(  # type: ignore[no-untyped-def]
    ctx: Ctx,
    number: int = 0,
    real: float = 0.0,
    paths: list[Path] = [],  # noqa: B006
    when: datetime | None = None,
    colour: Colour = Colour.RED,
    box: Box | None = None,
    tree: Tree | None = None,
    row: Row = {"id": 1},  # noqa: B006
    where: str | Path = "",
    model: Strict | None = None,
    models: list[Strict] = [],  # noqa: B006
    checked: Checked | None = None,
    names: Iterable[str] = (),
    mode: Literal["a", "b"] = "a",
    small: Annotated[int, msgspec.Meta(le=5)] = 0,
    anything: Any = None,
    free=None,
    unknown: Unknown = None,
    callback: Callable[[], None] | None = None,
    many: list[Unknown] = [],  # noqa: B006
    **more: bool,
) -> Unknown:
    return {name: value for name, value in locals().items() if name != "ctx"}


def bare(ctx: Ctx, a, b=1) -> Unknown:  # type: ignore[no-untyped-def]
    return [a, b]


async def waits(ctx: Ctx, path: Path) -> str:
    return path.name


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        return function(*args, **named)

    return call


@wrapped
def behind(ctx: Ctx, path: Path) -> str:
    return path.name


class _Job:
    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self.__wrapped__(*args, **named)  # type: ignore[attr-defined]


job = _Job(waits)
some = functools.partial(everything, number=5)
