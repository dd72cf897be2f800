"""Texts on which tokenizers part ways, for the tests of this folder."""

from __future__ import annotations

from hypothesis import strategies as st

# Sentences to make tiny vocabularies of.
CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog does not mind at all.",
    "A film that is as warm as it is wise; the cast is a joy to watch from start to end.",
    "It cost 1,000 euros in 2020, 9,99 more than in 1999, and nobody was happy (about it).",
    "Der schnelle braune Fuchs springt über den faulen Hund, und niemand weiß warum.",
    "Le café est fermé à midi, mais l'élève naïf y est déjà retourné deux fois.",
    "the the the and and of of to to in in is is it it that that for for was was on on",
]

MULTILINGUAL = [
    "",
    " ",
    "Hello there, 1,204 friends!",
    "Café naïve résumé À LA CARTE",
    "cafe\u0301 nai\u0308ve A\u030a \u0301 alone",  # combining marks
    "Straße STRASSE ẞ",
    "İstanbul ısı I\u0307 i\u0307",  # Turkish dotted and dotless i
    "ΟΔΟΣ οδός ΑΣ Σ 𝚺 A\u0345\u0301",
    "中文字符 日本語テキスト 한국어 한글 豈更",  # Chinese, Japanese, Korean, compatibility ideographs
    "עברית עִבְרִית العَرَبِيَّة ١٢٣",
    "ไทย ภาษาไทย हिन्दी नमस्ते க்ஷ",
    "👍🏽 👩‍👩‍👧‍👦 🇩🇪 ☺️ 🤦🏼‍♂️",
    "Ｆｕｌｌ　ｗｉｄｔｈ １２３ ﬁ ﬀ ½ ² ™",
    "tab\tnew\nline\r\nreturn\x0bvt\x0cff\x1cfs\x1fus\x85nel",
    "a\u00a0b\u2003c\u3000d\u200be\u200df\ufeffg\u00adh\u2028i\u202fj",  # kinds of white space and of nothing
    "a\x00b\x01c\x7fd\x9fe\ufffdf\ue000g\U0010ffffh\ufdd0i\u0378j",  # control, private, unassigned, not characters
    "[MASK] x [mask]  [SEP][CLS] [MASK ]\t[MASK]\u3000y",
    "<mask> a<s>b</s> <unk> <pad>\u00a0<mask>",
    "``quoted'' `so' \"so\" «so» “so” '''",
    "1,2, 34, ,5 9,9 ٣,٤ ①, x9,",
    "a" * 100 + " " + "b" * 101 + " " + "é" * 100 + " " + "中" * 101 + " " + "ß" * 250,
    "under_score-dash–em—dash…dots....... $%^&*+=~|<>",
    "\u1100\u1161\u11a8 \uac01 \U0001d165\u302e\u0334\U00016ff1 \u1b44\u302f\u1bf2",  # jamo; marks out of order
    "▁ ▁a a▁b ▁▁",
]

# Characters that behave in some way of their own, for random texts.
_ODD = "".join(dict.fromkeys("".join(MULTILINGUAL)))
texts = st.lists(
    st.one_of(
        st.text(st.sampled_from(_ODD), max_size=12),
        st.text(max_size=8),
        st.text(st.characters(categories=["Mn", "Mc", "Me", "Cf", "Cc", "Zs", "Lo"]), max_size=8),
        st.sampled_from(["the ", "dog", " [MASK]", "[SEP]", "<mask>", "1,", "and", " is", "</s>"]),
    ),
    max_size=5,
).map("".join)
