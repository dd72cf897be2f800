"""The data flow of a method, as CodeBLEU compares it (Ren et al. 2020; the graph is GraphCodeBERT's, Guo et al. 2021).

Every value that a method names, a variable or a constant, is a node; an edge leads to it from those that its value came
from. Names do not count: variables are numbered as they appear.

The official script is followed in all that decides its published scores, also where one would do otherwise: values are looked
for by text, not by scope; the type of a declared variable is a value like any other; `+=` forgets the old value. It differs
from the script in one point: there, the order of names that meet in one edge is that of a Python set, so that its score
changes from run to run in the third digit; here, it is that of their appearance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tfllm.metrics.code_languages import CodeLanguage

_COMES_FROM, _COMPUTED_FROM = "comesFrom", "computedFrom"
_TEXT_LITERALS = ("string_literal", "character_literal")
_BRANCH = ("if_statement", "else")

Flow = tuple[str, str, tuple[str, ...]]
_States = dict[str, tuple[int, ...]]


class _Token(NamedTuple):
    text: str
    position: int


class _Edge(NamedTuple):
    """Where the value of a token is from."""

    token: _Token
    kind: str
    sources: tuple[str, ...] = ()
    positions: tuple[int, ...] = ()


class _Untraceable(Exception):
    pass


def data_flow(root, language: CodeLanguage) -> Counter[Flow]:
    """How often each edge `(variable, kind, variables it is from)` occurs in a syntax tree, with variables as numbers.

    Args:
        root: what `language.parse` gave.
        language: of the code.

    Returns:
        Empty where nothing comes from anything, and where the official script gives up: at a literal of text in C#, at an
        assignment or a loop over a collection of which a part is missing, at code nested deeper than Python's stack.

    Example:
        >>> java = code_language("java")  # doctest: +SKIP
        >>> data_flow(java.parse(b"int f ( int x ) { return x ; }"), java)  # doctest: +SKIP
        Counter({('0', 'comesFrom', ()): 1, ('0', 'comesFrom', ('0',)): 1})
    """
    try:
        edges, _ = _Tracer(root, language).visit(root, {})
    except (_Untraceable, RecursionError):
        return Counter()
    return Counter(_numbered(_joined_at_positions(_used(sorted(edges, key=lambda edge: edge.token.position)))))


class _Tracer:
    """Walks a tree in the order of its text; `states` says where each name got the value that it has by now."""

    def __init__(self, root, language: CodeLanguage):
        self._language = language
        self._tokens = {}
        for position, node in enumerate(self._leaves(root)):
            text = node.text.decode("utf-8", "replace").replace("\n", "")
            self._tokens[node.start_byte, node.end_byte] = _Token(text, position)
        loop, *self._loop_fields = language.for_each
        self._rules = {
            "variable_declarator": self._declaration,
            "assignment_expression": self._assignment,
            language.increment: self._increment,
            "if_statement": self._branches,
            "for_statement": self._counted_loop,
            "while_statement": lambda node, states: self._twice(node.children, states),
            loop: self._collection_loop,
        }

    def visit(self, node, states: _States) -> tuple[list[_Edge], _States]:
        if self._is_literal(node) and node.children and not self._language.whole_literals:
            raise _Untraceable
        if self._is_leaf(node):
            return self._value(node, states)
        return self._rules.get(node.type, self._children)(node, states)

    def _is_literal(self, node) -> bool:
        return node.type in _TEXT_LITERALS

    def _is_leaf(self, node) -> bool:
        whole = self._language.whole_literals and self._is_literal(node)
        return (whole or not node.children) and node.type != "comment"

    def _leaves(self, node) -> Iterable:
        if self._is_leaf(node):
            yield node
            return
        for child in node.children:
            yield from self._leaves(child)

    def _token(self, node) -> _Token:
        return self._tokens[node.start_byte, node.end_byte]

    def _variables(self, node) -> list[_Token]:
        """Its tokens that are no keyword, operator or bracket: those have their text for a type."""
        found = ((self._token(leaf), leaf.type) for leaf in self._leaves(node))
        return [token for token, type_ in found if token.text != type_]

    def _field(self, node, name: str):
        child = node.child_by_field_name(name)
        if child is None:
            raise _Untraceable
        return child

    def _value(self, node, states):
        token = self._token(node)
        if node.type == token.text:
            return [], states
        if token.text in states:
            return [_Edge(token, _COMES_FROM, (token.text,), states[token.text])], states
        if node.type == "identifier":
            states = {**states, token.text: (token.position,)}
        return [_Edge(token, _COMES_FROM)], states

    def _children(self, node, states):
        edges = []
        for child in node.children:
            more, states = self.visit(child, states)
            edges += more
        return edges, states

    def _bind(self, targets: Sequence[_Token], values: Sequence[_Token], kind: str, states):
        edges = [_Edge(target, kind, (value.text,), (value.position,)) for target in targets for value in values]
        return edges, {**states, **{target.text: (target.position,) for target in targets}}

    def _declaration(self, node, states):
        children = node.children
        names = self._variables(node.child_by_field_name("name") or children[0])
        value = node.child_by_field_name("value")  # C#'s grammar gives it no name
        if value is None and len(children) > 2 and children[-2].type == "=":
            value = children[-1]
        if value is None:
            _, bound = self._bind(names, (), _COMES_FROM, states)
            return [_Edge(name, _COMES_FROM) for name in names], bound
        edges, states = self.visit(value, states)
        more, states = self._bind(names, self._variables(value), _COMES_FROM, states)
        return edges + more, states

    def _assignment(self, node, states):
        right = self._field(node, "right")
        edges, states = self.visit(right, states)
        left = self._variables(self._field(node, "left"))
        more, states = self._bind(left, self._variables(right), _COMPUTED_FROM, states)
        return edges + more, states

    def _increment(self, node, states):
        tokens = self._variables(node)
        return self._bind(tokens, tokens, _COMPUTED_FROM, states)

    def _branches(self, node, states):
        edges, ends = [], []
        condition_and_first, in_first = states, True
        for child in node.children:
            in_first = in_first and child.type not in _BRANCH
            more, after = self.visit(child, condition_and_first if in_first else states)
            edges += more
            if in_first:
                condition_and_first = after
            else:
                ends.append(after)
        ends.append(condition_and_first)
        if not any("else" in child.type for child in node.children):
            ends.append(states)
        merged: dict[str, set[int]] = {}
        for end in ends:
            for name, positions in end.items():
                merged.setdefault(name, set()).update(positions)
        return edges, {name: tuple(sorted(positions)) for name, positions in merged.items()}

    def _counted_loop(self, node, states):
        edges, states = self._children(node, states)
        # What comes after a declaration is walked once more, so that the body's values reach its beginning.
        declared = [i for i, child in enumerate(node.children) if child.type == "local_variable_declaration"]
        for child in node.children[declared[0] + 1 :] if declared else ():
            more, states = self.visit(child, states)
            edges += more
        return _joined_edges(edges), states

    def _twice(self, children, states):
        edges = []
        for child in [*children, *children]:
            more, states = self.visit(child, states)
            edges += more
        return _joined_edges(edges), states

    def _collection_loop(self, node, states):
        variable, collection, body = (self._field(node, name) for name in self._loop_fields)
        edges = []
        for _ in range(2):
            more, states = self.visit(collection, states)
            edges += more
            more, states = self._bind(self._variables(variable), self._variables(collection), _COMPUTED_FROM, states)
            edges += more
            more, states = self.visit(body, states)
            edges += more
        return _joined_edges(edges), states


def _joined(first: tuple, second: tuple) -> tuple:
    return tuple(dict.fromkeys(first + second))


def _joined_edges(edges: list[_Edge]) -> list[_Edge]:
    """One edge for all of the same kind to the same token."""
    joined: dict[tuple, _Edge] = {}
    for edge in edges:
        known = joined.get(key := (edge.token, edge.kind))
        joined[key] = edge if known is None else edge._replace(
            sources=_joined(known.sources, edge.sources),
            positions=tuple(sorted(_joined(known.positions, edge.positions))),
        )  # fmt: skip
    return sorted(joined.values(), key=lambda edge: edge.token.position)


def _used(edges: list[_Edge]) -> list[_Edge]:
    """Without tokens that come from nothing and that nothing comes from."""
    ends = {edge.token.position for edge in edges if edge.positions}
    ends.update(position for edge in edges for position in edge.positions)
    return [edge for edge in edges if edge.token.position in ends]


def _joined_at_positions(edges: list[_Edge]) -> Iterable[_Edge]:
    joined: dict[int, _Edge] = {}
    for edge in edges:
        known = joined.get(edge.token.position)
        joined[edge.token.position] = (
            edge if known is None else known._replace(sources=_joined(known.sources, edge.sources))
        )
    return joined.values()


def _numbered(edges: Iterable[_Edge]) -> Iterable[Flow]:
    numbers: dict[str, str] = {}
    for edge in edges:
        for name in (*edge.sources, edge.token.text):
            numbers.setdefault(name, str(len(numbers)))
        yield numbers[edge.token.text], edge.kind, tuple(numbers[name] for name in edge.sources)
