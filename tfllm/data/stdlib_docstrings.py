"""Docstrings and code of the standard library of the running Python: real text that needs no download.

An example is the first sentence of a function's docstring and the head of a function's code: its own (match), or that
of another function of the same module (no match). This is the shape of CodeXGLUE's WebQueryTest.

- A module's functions are all in one split, so that nothing of train is seen again.
- Every sentence and every piece of code occurs twice: once in a match, once in a mismatch. Neither alone tells
  anything.
- Other functions are chosen from the same file where possible, and so that they share words with the sentence.
- No two functions have the same words in their sentence, or in their code.
- Files are parsed, never imported, and every choice hangs on sha256 of names. The rows are the same wherever the same
  Python X.Y.Z has its own library. A distributor's patch changes rows of the modules that it touches;
  `Examples.fingerprint` tells.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import os
import re
import sys
import sysconfig
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tfllm.data.examples import Examples, ReadReport
from tfllm.data.word_stems import overlap, word_stems
from tfllm.errors import DataError, UserError

LABELS = ("no_match", "match")

# Functions in a split, the same number with every Python; each makes two examples.
FUNCTIONS = {"train": 2500, "validation": 400, "test": 400}

# Modules whose source is not the same everywhere: distributors put it in packages of its own, leave it out, or patch
# it (how prefixes, libraries and message catalogues are found).
_NOT_EVERYWHERE = frozenset(
    "antigravity ctypes distutils ensurepip gettext idlelib lib2to3 locale msilib platform pydoc pydoc_data site "
    "sysconfig test this tkinter turtle turtledemo venv webbrowser".split()
)
# What is in no list is in train.
_VALIDATION = frozenset(
    "_pydatetime _strptime ast base64 cgi cgitb code codecs codeop copy copyreg csv dataclasses datetime dis enum "
    "fileinput functools hmac html mimetypes opcode pathlib pickle pickletools pprint pyclbr random reprlib secrets "
    "symtable token tokenize typing weakref".split()
)
_TEST = frozenset(
    "bisect calendar cmd configparser difflib doctest filecmp fractions graphlib heapq ipaddress json mailbox numbers "
    "optparse plistlib sched shlex shutil statistics string tempfile textwrap timeit tomllib trace uuid".split()
)

_MAX_CODE = 120  # characters
_MIN_CODE = 35
_MIN_WORDS, _MAX_WORDS = 3, 25  # of a sentence

_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_DOCUMENTED = (*_FUNCTION, ast.ClassDef)
# A sentence ends at a full stop before white space and a capital; "e.g." and "i.e." do not end one.
_SENTENCE = re.compile(r".+?(?<!\be\.g)(?<!\bi\.e)[.!?](?=\s+[A-Z\"'(`*]|$)")
_SIGNATURE = re.compile(r"[\w.]+\(|.*(->|>>>)")


@dataclass(frozen=True)
class DocumentedFunction:
    """A function of the standard library.

    Attributes:
        module: dotted name of its module.
        name: its name inside the module, dotted for a method.
        sentence: the first sentence of its docstring, on one line.
        code: decorators, signature and the first lines of its body as `ast.unparse` writes them (so without comments),
            without docstrings.
    """

    module: str
    name: str
    sentence: str
    code: str

    @property
    def group(self) -> str:
        """The top-level module or package: never split over splits, and the source of a mismatch's other function."""
        return self.module.partition(".")[0]

    @property
    def split(self) -> str:
        """`"train"`, `"validation"` or `"test"`."""
        return "validation" if self.group in _VALIDATION else "test" if self.group in _TEST else "train"

    @property
    def id(self) -> str:
        """For example `"json.decoder:JSONDecoder.decode"`."""
        return f"{self.module}:{self.name}"


def read_stdlib_docstrings(split: str, directory: str | os.PathLike | None = None) -> Examples:
    """Reads the examples of a split: sentence, code and whether they belong together.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        directory: where the standard library's source files are; default: that of the running Python.

    Returns:
        `Examples` with two columns, labels 0 (no match) and 1 (match), and ids
        `"<function of the sentence>|<function of the code>"`. Their order mixes modules and labels. The report says
        which functions were left out and why.

    Raises:
        UserError: no such split, or a standard library without its source files.
        DataError: a source file that cannot be read.

    Example:
        >>> train = read_stdlib_docstrings("train")
        >>> len(train), int(train.labels.sum())
        (5000, 2500)
    """
    if split not in FUNCTIONS:
        raise UserError(f"The splits are: {', '.join(FUNCTIONS)}. Received: {split!r}.")
    root = os.fspath(directory or sysconfig.get_paths()["stdlib"])
    functions, report = _library(root)
    functions = [function for function in functions if function.split == split]
    if len(functions) < FUNCTIONS[split]:
        raise UserError(
            f"{root}: expected the source (.py) files of Python's standard library, with at least {FUNCTIONS[split]} "
            f"documented functions for the {split} split. Received: {len(functions)}. Use a Python that is installed "
            "with its whole standard library as files, not zipped, frozen or without sources."
        )
    functions = _trimmed(functions, FUNCTIONS[split])
    pairs = [(function, function, 1) for function in functions]
    pairs += [(function, other, 0) for function, other in _mismatches(functions)]
    pairs.sort(key=lambda pair: _digest("order", pair[0].id, pair[1].id))
    return Examples(
        texts=([sentence.sentence for sentence, _, _ in pairs], [code.code for _, code, _ in pairs]),
        labels=np.array([label for *_, label in pairs], np.int32),
        ids=[f"{sentence.id}|{code.id}" for sentence, code, _ in pairs],
        source=f"the standard library of Python {sys.version.split()[0]}",
        report=report,
        label_names=LABELS,
    )


@functools.lru_cache(maxsize=8)  # the three splits come from one reading
def _library(root: str) -> tuple[list[DocumentedFunction], ReadReport]:
    """The functions of all splits that can be used, in the order of modules and lines."""
    kept, left_out = [], Counter()
    ids, sentences, codes = set(), set(), set()
    total = 0
    for module, path in _source_files(root):
        for name, node in _functions(_parse(path)):
            total += 1
            sentence, code = _first_sentence(node), ""
            reason = _why_not_sentence(sentence)
            if not reason:
                code = _code(node)
                reason = _why_not_code(node, code, sentence)
            if not reason:
                code = _head(code)
                function = DocumentedFunction(module, name, sentence, code)
                keys = function.id, word_stems(sentence), word_stems(code)
                if keys[0] in ids or keys[1] in sentences or keys[2] in codes:
                    reason = "like another one"
            if reason:
                left_out[reason] += 1
                continue
            for seen, key in zip((ids, sentences, codes), keys):
                seen.add(key)
            kept.append(function)
    sizes = Counter(function.group for function in kept)
    alone = [function for function in kept if sizes[function.group] < 2]
    left_out["the only one of its module"] = len(alone)
    kept = [function for function in kept if sizes[function.group] >= 2]
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
    note = f"{len(kept)} of {total} functions can be used (in all splits); left out: {reasons}"
    return kept, ReadReport(rows_read=total, notes=(note,))


def _source_files(root: str) -> Iterator[tuple[str, str]]:
    """Dotted module name and path of every file used, sorted."""
    for group in sorted(sys.stdlib_module_names - _NOT_EVERYWHERE):
        path = os.path.join(root, group)
        if os.path.isfile(f"{path}.py"):
            yield group, f"{path}.py"
            continue
        found = []
        for folder, folders, files in os.walk(path):
            folders[:] = [name for name in folders if name not in ("test", "tests", "__pycache__")]
            names = [os.path.relpath(os.path.join(folder, file), root) for file in files if file.endswith(".py")]
            found += [(_module(name), os.path.join(root, name)) for name in names]
        yield from sorted(found)


def _module(path: str) -> str:
    return path[: -len(".py")].replace(os.sep, ".").removesuffix(".__init__")


def _parse(path: str) -> ast.Module:
    try:
        with tokenize.open(path) as file:  # decodes as the file's coding line says
            return ast.parse(file.read())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            path, None, f"cannot be read: {error}. Expected a source file of Python's standard library."
        ) from None
    except SyntaxError as error:
        raise DataError(
            path, error.lineno, f"{error.msg}. Expected a source file of the Python that is running."
        ) from None


def _functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _FUNCTION):
            yield prefix + child.name, child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.stmt):  # under an `if` or a `try`
            yield from _functions(child, prefix)


def _first_sentence(node: ast.AST) -> str:
    docstring = ast.get_docstring(node, clean=False)
    paragraph = " ".join(inspect.cleandoc(docstring or "").split("\n\n")[0].split())
    match = _SENTENCE.match(paragraph)
    return match.group() if match else paragraph


def _why_not_sentence(sentence: str) -> str:
    if not sentence:
        return "without a docstring"
    if _SIGNATURE.match(sentence):
        return "with a signature or a session for a sentence"
    if not _MIN_WORDS <= len(re.findall("[A-Za-z]+", sentence)) <= _MAX_WORDS:
        return "with a sentence too short or too long"
    return ""


def _code(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """The function's code without docstrings, its own and those inside. Changes the tree."""
    for child in ast.walk(node):
        if isinstance(child, _DOCUMENTED) and ast.get_docstring(child, clean=False) is not None:
            child.body = child.body[1:] or [ast.Pass()]
    return ast.unparse(node)


def _why_not_code(node: ast.FunctionDef | ast.AsyncFunctionDef, code: str, sentence: str) -> str:
    body = [statement for statement in node.body if not _says_nothing(statement)]
    if not body or (len(body) == 1 and isinstance(body[0], ast.Raise)):
        return "without a body"
    if sentence in code:
        return "with the sentence in the code"
    if not _MIN_CODE <= len(_head(code)):
        return "with code too short, or a signature too long"
    return ""


def _says_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _head(code: str) -> str:
    """The first lines that fit; none where decorators and signature do not."""
    lines = code.splitlines()
    signature = next(i for i, line in enumerate(lines) if line.startswith(("def ", "async def ")))
    head = []
    for line in lines:
        if len("\n".join([*head, line])) > _MAX_CODE:
            break
        head.append(line)
    return "\n".join(head) if len(head) > signature else ""


def _trimmed(functions: list[DocumentedFunction], size: int) -> list[DocumentedFunction]:
    """`size` of the functions, with no group left with less than two."""
    sizes = Counter(function.group for function in functions)
    excess, left_out = len(functions) - size, set()
    for function in sorted(functions, key=lambda function: _digest("trim", function.id)):
        if len(left_out) < excess and sizes[function.group] > 2:
            left_out.add(function.id)
            sizes[function.group] -= 1
    return [function for function in functions if function.id not in left_out]


_UNIT = 1 << 30  # sums of weights stay whole numbers below 2**53, which float64 holds exactly


def _mismatches(functions: list[DocumentedFunction]) -> Iterator[tuple[DocumentedFunction, DocumentedFunction]]:
    """Every function with another one of its group, each taken once.

    It is the assignment with the greatest sum of weights. A weight is a draw by sha256, plus something for the same
    file and for code that shares words with the sentence. A pair that may well be right (nearly the same sentence, or
    the same name) is a last resort.
    """
    from scipy.optimize import linear_sum_assignment

    groups = defaultdict(list)
    for function in functions:
        groups[function.group].append(function)
    for group in groups.values():
        sentences = [word_stems(function.sentence) for function in group]
        codes = [word_stems(function.code) for function in group]
        names = [function.name.rpartition(".")[2].strip("_") for function in group]
        weights = np.full((len(group), len(group)), -1024 * _UNIT, np.int64)
        for i, function in enumerate(group):
            for j, other in enumerate(group):
                if i == j:
                    continue
                weight = _digest("mismatch", function.id, other.id) % _UNIT
                weight += round(0.3 * _UNIT) * (function.module == other.module)
                weight += round(0.3 * _UNIT * overlap(sentences[i], codes[j]))
                alike = len(sentences[i] & sentences[j]) > 0.6 * len(sentences[i] | sentences[j])
                weights[i, j] = weight - 16 * _UNIT * (alike or names[i] == names[j])
        rows, columns = linear_sum_assignment(weights, maximize=True)
        yield from ((group[i], group[j]) for i, j in zip(rows, columns))


def _digest(*names: str) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(names).encode()).digest()[:8], "big")
