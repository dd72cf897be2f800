"""How much of one set of texts is in another: n-grams of words that both have, and exact duplicates.

It is the check for contamination of GPT-3 (Brown et al. 2020, arXiv:2005.14165, appendix C): an example is called contaminated
when it shares 13 words in a row with the other set, or all of its words where it has fewer; case, punctuation and white space do
not count. Examples of fewer than `min_words` words are not judged by n-grams, as those are found everywhere by chance. (GPT-3's
n was from 8 to 13 by task, the 5th percentile of its examples' lengths; here it is one number for all.)
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tfllm.errors import UserError

NGRAM = 13
MIN_WORDS = 8


class _Characters(dict):
    """Character to what it is in normalised text, for `str.translate`; worked out when it first occurs."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if unicodedata.category(character)[0] not in "LMN":
            value = " "
        elif unicodedata.name(character, "").startswith(("CJK", "HIRAGANA", "KATAKANA")):
            value = f" {character} "  # written without blanks: a character is a word
        else:
            value = character
        self[code] = value
        return value


_CHARACTERS = _Characters()


def normalised_words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation; each Chinese or Japanese character is one.

    Example:
        >>> normalised_words("It's a  TEST, ok?")
        ['it', 's', 'a', 'test', 'ok']
    """
    return unicodedata.normalize("NFC", text).lower().translate(_CHARACTERS).split()


@dataclass(frozen=True)
class Side:
    """One of two sets of texts.

    Args:
        rows: `(id, texts)` of each example; may be an iterator, which is read once and not kept.
        running: the rows are lines of one text, so that n-grams go on from each to the next.
        size: number of rows, where it is known.
    """

    rows: Iterable[tuple[str, Sequence[str]]]
    running: bool = False
    size: int | None = None


@dataclass(frozen=True)
class Match:
    """An example of A that is in B.

    Attributes:
        id: of the example of A.
        other: id of the first row of B that has something of it.
        text: the words that both have.
        exact: whether all of its words, in their order, are all of a row's of B.
        share: the share of its n-grams that B has.
    """

    id: str
    other: str
    text: str
    exact: bool
    share: float


@dataclass(frozen=True)
class Overlap:
    """What `find_overlap` found.

    Attributes:
        size: examples of A.
        other_size: rows of B.
        judged: examples of A with enough words to be judged by n-grams.
        short: examples of A with fewer than `min_words` words, of which only exact duplicates are counted.
        overlapping: judged examples that share an n-gram with B.
        duplicates: examples of A, short ones included, that are a row of B, word for word.
        matches: a record for each example that overlaps or is a duplicate.
        ngram, min_words: as they were given.
    """

    size: int
    other_size: int
    judged: int
    short: int
    overlapping: int
    duplicates: int
    ngram: int
    min_words: int
    matches: tuple[Match, ...] = field(repr=False)

    @property
    def share(self) -> float | None:
        """`overlapping / judged`; `None` where nothing was judged."""
        return self.overlapping / self.judged if self.judged else None

    @property
    def duplicate_share(self) -> float:
        """`duplicates / size`."""
        return self.duplicates / self.size


def find_overlap(
    a: Side,
    b: Side,
    *,
    ngram: int = NGRAM,
    min_words: int = MIN_WORDS,
    progress: Callable[[int, int | None], None] | None = None,
) -> Overlap:
    """Which examples of A share an n-gram of words with B. Keeps A and hashes of its n-grams; B goes by row by row.

    Args:
        a: the set that is judged, such as a test set.
        b: the set that it may be in, such as what a model was trained on.
        ngram: words in a row.
        min_words: an example none of whose texts has so many words is not judged by n-grams. Where no text of an example has
            `ngram` words, its longest text as a whole is looked for.
        progress: called with (rows of B done, rows of B or `None`) every 10,000 rows and at the end.

    Raises:
        UserError: `ngram` or `min_words` is out of range, or a set has no examples.

    Example:
        >>> a = Side([("0", ["One two three four five."]), ("1", ["six seven eight nine ten"])])
        >>> b = Side([("x", ["zero ONE, two three four"])])
        >>> found = find_overlap(a, b, ngram=4, min_words=4)
        >>> found.overlapping, found.judged, found.matches[0].text
        (1, 2, 'one two three four')
    """
    if ngram < 1 or not 1 <= min_words <= ngram:
        raise UserError(
            f"ngram must be at least 1, and min_words from 1 to ngram. Received: ngram={ngram}, min_words={min_words}."
        )
    examples = [(id_, [normalised_words(text) for text in texts]) for id_, texts in a.rows]
    if not examples:
        raise UserError("there are no examples in A. Check its file or split.")
    # 64-bit hashes, 0 where they are not in B so far. Python's own hash is of 64 bits, and quick as it is kept with the string:
    # among 1e8 n-grams of A and 1e9 of B about one in 200 runs would see one false match.
    wanted: dict[int, int] = {}  # hash of an n-gram -> 1 + number of B's first row that has it
    whole: dict[int, int] = {}  # the same for all words of an example
    lengths: set[int] = set()
    for _, texts in examples:
        whole[_hash_of_all(texts)] = 0
        for gram in _grams(texts, ngram, min_words):
            wanted[hash(gram)] = 0
            lengths.add(gram.count(" ") + 1)
    other_ids, other_size = _look_through(b, wanted, whole, sorted(lengths), progress)
    if not other_size:
        raise UserError("there are no examples in B. Check its file or split.")
    return _counted(examples, other_ids, other_size, wanted, whole, ngram, min_words)


def _look_through(b: Side, wanted: dict, whole: dict, lengths: list[int], progress) -> tuple[dict[int, str], int]:
    """Marks what is in B. Gives the ids of those rows that are named, by number from 1, and the number of rows."""
    ids: dict[int, str] = {}
    kept: list[str] = []
    number = 0
    for number, (id_, texts) in enumerate(b.rows, 1):
        found = [normalised_words(text) for text in texts]
        key = _hash_of_all(found)
        new = False
        if whole.get(key) == 0:
            whole[key], new = number, True
        for words in found:
            words = kept + words
            for length in lengths:
                for begin in range(len(words) - length + 1):
                    gram = hash(" ".join(words[begin : begin + length]))
                    if wanted.get(gram) == 0:
                        wanted[gram], new = number, True
            if b.running and lengths:
                kept = words[-(lengths[-1] - 1) :] if lengths[-1] > 1 else []
        if new:
            ids[number] = id_
        if progress is not None and number % 10_000 == 0:
            progress(number, b.size)
    if progress is not None:
        progress(number, number)
    return ids, number


def _counted(
    examples, other_ids: dict, other_size: int, wanted: dict, whole: dict, ngram: int, min_words: int
) -> Overlap:
    judged = overlapping = duplicates = 0
    matches = []
    for id_, texts in examples:
        grams = list(_grams(texts, ngram, min_words))
        shared = [gram for gram in grams if wanted[hash(gram)]]
        # Examples without a word (emptied by the normalisation) are no duplicates of each other.
        duplicate = whole[_hash_of_all(texts)] if any(texts) else 0
        judged += bool(grams)
        overlapping += bool(shared)
        duplicates += bool(duplicate)
        if shared or duplicate:
            other = duplicate or wanted[hash(shared[0])]
            text = " ".join(word for words in texts for word in words) if duplicate else shared[0]
            share = len(shared) / len(grams) if grams else 1.0
            matches.append(Match(id_, other_ids[other], text, bool(duplicate), share))
    return Overlap(
        size=len(examples),
        other_size=other_size,
        judged=judged,
        short=len(examples) - judged,
        overlapping=overlapping,
        duplicates=duplicates,
        ngram=ngram,
        min_words=min_words,
        matches=tuple(matches),
    )


def _grams(texts: Sequence[list[str]], ngram: int, min_words: int) -> Iterator[str]:
    """The n-grams of an example, or its longest texts as a whole where they have fewer words; none where it has too few."""
    size = min(ngram, max(map(len, texts)))
    if size >= min_words:
        for words in texts:
            for begin in range(len(words) - size + 1):
                yield " ".join(words[begin : begin + size])


def _hash_of_all(texts: Sequence[list[str]]) -> int:
    return hash(" ".join(word for words in texts for word in words))
