"""Writes `code_bleu.json`: CodeBLEU of small programs by CodeXGLUE's own functions.

They are in the package `codebleu` 0.7.0, unchanged but for formatting, in `bleu.py`, `weighted_ngram_match.py` and
`parser/DFG.py`; it is not among the tests' requirements, as it wants older releases of tree-sitter:

    pip install --no-deps codebleu==0.7.0
    python tests/goldens/make_code_bleu.py

What is changed here before they run, and why:

- the script's own tokens of a tree (`parser/utils.py` in CodeXGLUE takes only nodes of type "string" for whole, the package all
  literals): in C# as in CodeXGLUE, in Java whole, because literals had no parts in the Java grammar of 2020;
- C#'s `for_each_statement` is `foreach_statement` in the pinned grammar, and a declarator's value stands after an "=" of its
  own, where it was one node with it in 2020;
- sets keep the order of insertion: in the original, the order of a set of texts changes from run to run.
"""

import json
import os
from pathlib import Path

import codebleu.parser.DFG as dfg
import tree_sitter
import tree_sitter_c_sharp
import tree_sitter_java
from code_bleu_programs import PAIRS
from codebleu import bleu, weighted_ngram_match
from codebleu.parser.utils import index_to_code_token, remove_comments_and_docstrings

GRAMMARS = {"java": tree_sitter_java, "c_sharp": tree_sitter_c_sharp}
WHOLE = {"java": ("string", "string_literal", "character_literal"), "c_sharp": ("string",)}
KEYWORDS = Path(bleu.__file__).with_name("keywords")
DECLARATOR = """        if len(root_node.children) == 2:
            name = root_node.children[0]
            value = root_node.children[1]
"""
TODAY = """        if len(root_node.children) > 2 and root_node.children[-2].type == "=":
            name = root_node.children[0]
            value = root_node.children[-1]
"""


class OrderedSet(dict):
    def __init__(self, items=()):
        super().__init__(dict.fromkeys(items))


def patched():
    source = Path(dfg.__file__).read_text()
    assert source.count(DECLARATOR) == 1
    source = source.replace(DECLARATOR, TODAY).replace('"for_each_statement"', '"foreach_statement"')
    exec(compile(source, dfg.__file__, "exec"), vars(dfg))  # noqa: S102
    dfg.set = OrderedSet


def token_indices(node, whole):
    if (not node.children or node.type in whole) and node.type != "comment":
        return [(node.start_point, node.end_point)]
    return [index for child in node.children for index in token_indices(child, whole)]


def flow(root, code, language):
    whole = WHOLE[language]
    indices = token_indices(root, whole)
    lines = code.split("\n")
    tokens = {index: (i, index_to_code_token(index, lines)) for i, index in enumerate(indices)}

    def variables(node, _):
        if (not node.children or node.type in whole) and node.type != "comment":
            index = (node.start_point, node.end_point)
            return [index] if node.type != tokens[index][1] else []
        return [index for child in node.children for index in variables(child, _)]

    dfg.tree_to_variable_index = variables
    walk = {"java": dfg.DFG_java, "c_sharp": dfg.DFG_csharp}[language]
    try:
        edges = sorted(walk(root, tokens, {})[0], key=lambda edge: edge[1])
    except (AttributeError, KeyError):  # the script catches everything
        return []
    used = {edge[1] for edge in edges if edge[4]} | {position for edge in edges for position in edge[4]}
    merged = {}
    for name, position, kind, names, _ in edges:
        if position in used:
            known = merged.setdefault(position, (name, kind, []))
            known[2].extend(n for n in names if n not in known[2])
    numbers, result = {}, []
    for name, kind, names in merged.values():
        for each in [*names, name]:
            numbers.setdefault(each, str(len(numbers)))
        result.append([numbers[name], kind, [numbers[each] for each in names]])
    return result


def sub_trees(root):
    waiting, found = [root], []
    while waiting:
        node = waiting.pop()
        found.append(str(node))
        waiting += [child for child in node.children if child.children]
    return found


def corpus(language, pairs):
    parser = tree_sitter.Parser(tree_sitter.Language(GRAMMARS[language].language()))
    keywords = (KEYWORDS / f"{language}.txt").read_text().split()
    trees = wanted_trees = edges = wanted_edges = 0
    rows = []
    for prediction, reference in pairs:
        codes = [remove_comments_and_docstrings(code, "java") for code in (prediction, reference)]
        roots = [parser.parse(code.encode()).root_node for code in codes]
        present, wanted = (sub_trees(root) for root in roots)
        flows = [flow(root, code, language) for root, code in zip(roots, codes)]
        left, found = list(flows[0]), 0
        for edge in flows[1]:
            if edge in left:
                left.remove(edge)
                found += 1
        matched = sum(tree in present for tree in wanted)
        rows.append({"trees": [matched, len(wanted)], "edges": [found, len(flows[1])], "flow": flows[1]})
        trees, wanted_trees = trees + matched, wanted_trees + len(wanted)
        edges, wanted_edges = edges + found, wanted_edges + len(flows[1])
    predictions = [prediction.split() for prediction, _ in pairs]
    references = [[reference.split()] for _, reference in pairs]
    weighted = [
        [[tokens, {t: 1 if t in keywords else 0.2 for t in tokens}] for tokens in group] for group in references
    ]
    parts = {
        "ngram": 100 * bleu.corpus_bleu(references, predictions),
        "weighted_ngram": 100 * weighted_ngram_match.corpus_bleu(weighted, predictions),
        "syntax": 100 * trees / wanted_trees,
        "dataflow": 100 * edges / wanted_edges,
    }
    return {"scores": {"code_bleu": sum(parts.values()) / 4, **parts}, "rows": rows}


if __name__ == "__main__":
    patched()
    goldens = {language: corpus(language, pairs) for language, pairs in PAIRS.items()}
    path = Path(os.path.dirname(os.path.abspath(__file__))) / "code_bleu.json"
    path.write_text(json.dumps(goldens, indent=1) + "\n")
