"""absl flags from a dataclass of options, and back."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import textwrap
from collections.abc import Callable

from absl import flags

from tfllm.errors import UserError
from tfllm.training.options import option_types


class _OptionalFloat(flags.FloatParser):
    """A number, or `none`."""

    def parse(self, argument):
        return None if argument is None or str(argument).lower() == "none" else super().parse(argument)


class _OptionalInteger(flags.IntegerParser):
    """A whole number, or `none`."""

    def parse(self, argument):
        return None if argument is None or str(argument).lower() == "none" else super().parse(argument)


class _Boolean(flags.BooleanParser):
    """True or false. (absl's own error is a tuple.)"""

    def parse(self, argument):
        try:
            return super().parse(argument)
        except (TypeError, ValueError):
            raise ValueError("expected true or false") from None


class _List(flags.ListParser):
    """Texts separated by commas; or a JSON list of them, which keeps commas, spaces and line ends."""

    def parse(self, argument):
        if not isinstance(argument, str) or not argument:
            return super().parse(argument)
        if argument.lstrip().startswith("["):
            try:
                found = json.loads(argument)
            except json.JSONDecodeError:
                found = None  # a text such as [UNK]
            if isinstance(found, list) and all(isinstance(text, str) for text in found):
                return found
        try:
            found = super().parse(argument)
        except (ValueError, IndexError):  # a line end, or a quote that is not closed
            found = [""]
        if not found or "" in found or argument.lstrip().startswith('["'):
            raise ValueError(
                'expected texts separated by commas, or a JSON list of texts, which keeps commas, spaces and line ends: ["\\n", "a, b"]'
            )
        return found


def parse(config_class: type, argv: list[str], *, program: str, summary: str):
    """Makes a configuration of command-line arguments: `--name=value`, `--name value`, `--flag`, `--noflag`,
    `--flagfile=FILE`.

    Args:
        config_class: a subclass of `tfllm.training.options.Options`; each field becomes a flag of its name.
        argv: the arguments, without the program's name.
        program: the program's name, for the help text.
        summary: what it does, for the help text.

    Returns:
        A `config_class`. After `--help` the process ends with status 0.

    Raises:
        UserError: an unknown flag, a value of the wrong type or out of range, or an argument that is not a flag.
    """
    values = flag_values(config_class)
    try:
        rest = values([program, *argv])[1:]
    except flags.Error as error:
        raise UserError(" ".join(str(error).split())) from None
    if values["help"].value:
        print(help_text(config_class, program=program, summary=summary))
        sys.exit(0)
    if rest:
        raise UserError(f"expected --name=value only. Received: {rest[0]!r}. See {program} --help.")
    names = [field.name for field in dataclasses.fields(config_class)]
    return config_class(**{name: _plain(values[name].value) for name in names})


def flag_values(config_class: type) -> flags.FlagValues:
    """absl flags for the fields of `config_class`, apart from the process's global ones, and `--help`."""
    values = flags.FlagValues()
    values.set_gnu_getopt(True)  # a flag is a flag wherever it stands
    kinds = option_types(config_class)
    for field in dataclasses.fields(config_class):
        kind, optional = kinds[field.name]
        name, default, help = field.name, field.default, field.metadata["help"]
        if field.metadata["choices"] is not None:
            flags.DEFINE_enum(name, default, field.metadata["choices"], help, flag_values=values)
        elif kind is bool:
            flag = flags.BooleanFlag(name, default, help)
            flag.parser = _Boolean()
            flags.DEFINE_flag(flag, values)
        elif kind is tuple:
            flags.DEFINE(
                _List(), name, list(default), help, flag_values=values, serializer=flags.CsvListSerializer(",")
            )
        elif kind is str:
            flags.DEFINE_string(name, default, help, flag_values=values)
        elif optional:
            parser = _OptionalFloat() if kind is float else _OptionalInteger()
            flags.DEFINE(parser, name, default, help, flag_values=values)
        else:
            (flags.DEFINE_float if kind is float else flags.DEFINE_integer)(name, default, help, flag_values=values)
    flags.DEFINE_bool("help", False, "Show this help.", short_name="h", flag_values=values)
    return values


def help_text(config_class: type, *, program: str, summary: str) -> str:
    """What `--help` prints: each flag with its default, its meaning and its choices."""
    lines = [summary, "", f"usage: {program} --name=value ...", ""]
    for field in dataclasses.fields(config_class):
        default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        shown = "" if default in (None, "") else str(default).lower() if isinstance(default, bool) else str(default)
        choices = field.metadata["choices"]
        help = field.metadata["help"] + (f" One of {', '.join(choices)}." if choices else "")
        help += " (A list: separated by commas, or in JSON.)" if isinstance(field.default, tuple) else ""
        lines.append(f"  --{field.name}" + (f"={shown}" if shown else ""))
        lines += textwrap.wrap(help, width=100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def _plain(value):
    return tuple(value) if isinstance(value, list) else value


def run(command: Callable[[], None], *, program: str) -> int:
    """Runs a command; what the user got wrong becomes one message on standard error. Returns the exit status."""
    try:
        command()
        sys.stdout.flush()
    except UserError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away, as `head` does. Python would complain again when it ends: give it a sink.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
