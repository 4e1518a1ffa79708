"""Groups of commands. A command is made when it is called, so that no other's imports are waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from typer.core import TyperGroup

from streamsched.cli.options import (
    enable_keyboard_interrupt,
    refuse_undecodable,
    set_up_logging,
    with_json,
    write_examples,
)


class LazyCommands(Mapping[str, Any]):
    """Commands by name, each made when it is first looked up. An alias finds its command and is not listed."""

    def __init__(self, makers: Mapping[str, Callable[[], Any]], aliases: Mapping[str, str]) -> None:
        self._makers = makers
        self._aliases = aliases
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        name = self._aliases.get(name, name)
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


class Group(TyperGroup):
    """A group that lists the names of its commands without making them."""

    def list_commands(self, context: Any) -> list[str]:
        """Return the names in their order."""
        return list(self.commands)


class GroupWithDefault(Group):
    """A group that is a command itself too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params = with_json(self.params)

    def format_epilog(self, context: Any, formatter: Any) -> None:
        """Write the examples line by line."""
        write_examples(self.epilog, formatter)

    def invoke(self, context: Any) -> Any:
        """Run the group itself or one of its commands."""
        enable_keyboard_interrupt()
        set_up_logging(context.ensure_object(dict))
        refuse_undecodable(context)
        return super().invoke(context)
