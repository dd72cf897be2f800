"""The programming languages that CodeBLEU reads: their keywords, and what their syntax trees call things.

Trees are tree-sitter's. A grammar's next release may name its nodes otherwise, and every score would move: the grammars are
pinned in setup.cfg.
"""

from __future__ import annotations

import functools
import importlib
import re
from dataclasses import dataclass

from tfllm.errors import UserError

_JAVA = """abstract assert boolean break byte case catch char class const continue default do double else enum extends
final finally float for goto if implements import instanceof int interface long native new package private protected public
return short static strictfp super switch synchronized this throw throws transient try void volatile while"""
_C_SHARP = """abstract as base bool break byte case catch char checked class const continue decimal default delegate do
double else enum event explicit extern false finally fixed float for foreach goto if implicit in int interface internal is
lock long namespace new null object operator out override params private protected public readonly ref return sbyte sealed
short sizeof stackalloc static string struct switch this throw true try typeof uint ulong unchecked unsafe ushort using
virtual void volatile while
add alias ascending async await by descending dynamic equals from get global group into join let nameof notnull on orderby
partial remove select set unmanaged value var when where yield"""


@dataclass(frozen=True)
class CodeLanguage:
    """A language as CodeBLEU's official script of 2020 sees it.

    Attributes:
        name: `"java"` or `"c_sharp"`.
        package: the Python package with its grammar.
        keywords: tokens that weigh 1 in the weighted n-grams, where others weigh 0.2.
        increment: node of `i++`.
        for_each: node of a loop over a collection, and its fields: variable, collection, body.
        whole_literals: whether a literal of text is one token. In the C# grammar of 2020 it had parts, at which the script
            gives up: such a method has no data flow.

    Example:
        >>> code_language("java").increment
        'update_expression'
    """

    name: str
    package: str
    keywords: frozenset[str]
    increment: str
    for_each: tuple[str, str, str, str]
    whole_literals: bool

    def parse(self, code: bytes):
        """The root of the code's syntax tree; tree-sitter gives one for any text, with `ERROR` nodes where it must.

        Raises:
            UserError: tree-sitter or the grammar is not installed.
        """
        return _parser(self.package).parse(code).root_node


_LANGUAGES = {
    language.name: language
    for language in (
        CodeLanguage(
            "java",
            "tree_sitter_java",
            frozenset(_JAVA.split()),
            "update_expression",
            ("enhanced_for_statement", "name", "value", "body"),
            whole_literals=True,
        ),
        CodeLanguage(
            "c_sharp",
            "tree_sitter_c_sharp",
            frozenset(_C_SHARP.split()),
            "postfix_unary_expression",
            ("foreach_statement", "left", "right", "body"),
            whole_literals=False,
        ),
    )
}


def code_language(name: str) -> CodeLanguage:
    """The language of that name.

    Raises:
        UserError: no such language.
    """
    if name not in _LANGUAGES:
        raise UserError(f"CodeBLEU knows the languages {', '.join(_LANGUAGES)}. Received: {name!r}.")
    return _LANGUAGES[name]


_LITERAL_OR_COMMENT = re.compile(r"""(?s)"(?:\\.|[^\\"])*"|'(?:\\.|[^\\'])*'|(?P<comment>/\*.*?\*/|//[^\n]*)""")


def without_comments(code: str) -> str:
    """The code with a blank for each comment, and without blank lines.

    Example:
        >>> without_comments("int a ; /* of\\n\\n two lines */ String b = '//' ;")
        "int a ;   String b = '//' ;"
    """
    code = _LITERAL_OR_COMMENT.sub(lambda found: " " if found["comment"] else found[0], code)
    return "\n".join(line for line in code.split("\n") if line.strip())


@functools.cache
def _parser(package: str):
    try:
        import tree_sitter

        grammar = importlib.import_module(package)
    except ImportError as error:
        raise UserError(
            f"CodeBLEU reads syntax trees with {error.name}, which is not installed. Install it: pip install "
            f"{(error.name or package).replace('_', '-')} (setup.cfg has the release that scores are stable with)."
        ) from None
    return tree_sitter.Parser(tree_sitter.Language(grammar.language()))
