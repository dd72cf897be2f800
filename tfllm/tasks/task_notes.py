"""What the literature says of the tasks: what each measures, where it is weak, when to choose it.

Figures that depend on the data (class balance, lengths) are not here: `tfllm.tasks.measured_facts` counts them.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Note:
    """Attributes:
    measures: what a good score shows.
    weaknesses: known ones, with the papers that found them.
    choose: when this is the task to take.
    """

    measures: str
    weaknesses: tuple[str, ...]
    choose: str


_RTE = Note(
    "Whether a text from news or Wikipedia entails a short statement: two classes, little training data",
    (
        "277 validation examples: a score of 0.70 has a 95 % interval of about 5 points either way",
        "fine-tuning is unstable from seed to seed (Dodge et al. 2020, arXiv:2002.06305; Mosbach et al. 2021, ICLR)",
        "training on MNLI first helps much (Phang et al. 2018, arXiv:1811.01088), so say whether that was done",
    ),
    "For entailment with few examples, or zero-shot; take glue/mnli for differences that are to be told from chance",
)
_WIKITEXT = Note(
    "How well a model predicts long, edited English prose",
    (
        "WikiText-2 and WikiText-103 have the same validation and test articles (Merity et al. 2016): they are one test, not two",
        "perplexity per token cannot be compared between tokenizers: compare that per word or byte",
        "most language models are trained on Wikipedia: check with `tfllm overlap`, or take a newer text (lm/text)",
    ),
    "To compare language models, or to see what compression or quantization cost, on a known text",
)
_LAMBADA = Note(
    "Whether a language model uses a whole passage: its last word can be guessed from all of it, not from the last sentence",
    (
        "the passages are from BookCorpus (Paperno et al. 2016), which GPT and BERT were trained on",
        "the two forms of the file (openai, standard) give different scores: always name the form",
        "good continuations that are not the book's count as wrong (Radford et al. 2019, GPT-2)",
    ),
    "For a quick check of a language model's use of context; zero-shot only",
)
_BLODGETT = (
    "many pairs are not well formed, or state no clear stereotype (Blodgett et al. 2021, Stereotyping Norwegian Salmon, ACL)",
    "stereotypes of the United States, in English",
)
_STEREOSET = Note(
    "Whether a language model prefers stereotypical to anti-stereotypical continuations, and both to nonsense",
    (*_BLODGETT, "one model's ICAT mixes language modelling and bias: read lm_score and ss_score beside it"),
    "As one sign of bias among several; never as proof that there is none",
)
_WINOBIAS = Note(
    "Whether a pronoun is resolved by the occupation's stereotype rather than by the sentence",
    (
        "sentences of a few templates, occupations by United States labour statistics, two genders (Zhao et al. 2018)",
        "a model that guesses has no difference either: read accuracy beside it",
    ),
    "For gender bias by occupation; type1 needs knowledge of the world, type2 can be solved by syntax",
)
_CODE_BLEU = (
    "n-gram scores agree only in part with what programmers judge (Evtikhiev et al. 2023, Out of the BLEU, JSS)"
)

NOTES: dict[str, Note] = {
    "glue/cola": Note(
        "Judgements of grammaticality, on example sentences of linguistics publications",
        (
            "unbalanced: about 7 in 10 are acceptable, so accuracy says little (Matthews correlation is official)",
            "people who are no linguists reach a Matthews correlation of 0.66 (Nangia and Bowman 2019, Human vs. Muppet, ACL)",
            "fine-tuning is unstable from seed to seed (Dodge et al. 2020, arXiv:2002.06305)",
        ),
        "For syntax in a fine-tuned encoder; for language models, blimp asks for it without training",
    ),
    "glue/sst2": Note(
        "Sentiment of single sentences of film reviews, positive or negative",
        (
            "train rows are mostly phrases, validation and test rows whole sentences (Socher et al. 2013); nothing is neutral",
            "near its ceiling: people reach 0.978 (Nangia and Bowman 2019, ACL), large models are there",
            "872 validation examples: differences below about 2 points cannot be told from chance",
        ),
        "For a quick, balanced check of single-sentence classification with much training data",
    ),
    "glue/mrpc": Note(
        "Paraphrase of sentences from the news",
        (
            "unbalanced: about two thirds are paraphrases, so 'equivalent' for all has an F1 of 0.8",
            "pairs were picked by word overlap (Dolan and Brockett 2005), so hard non-paraphrases are rare",
            "408 validation examples, and unstable from seed to seed (Dodge et al. 2020, arXiv:2002.06305)",
        ),
        "For paraphrase with few examples; glue/qqp has a hundred times as many",
    ),
    "glue/qqp": Note(
        "Whether two questions of a forum ask the same",
        (
            "unbalanced (63 % are no duplicates), and the test set's balance is another one (Wang et al. 2019, GLUE)",
            "models learn word overlap, and fail on the same words in another order (Zhang et al. 2019, PAWS, NAACL)",
            "labels have noise, as Quora's release says",
        ),
        "For pair classification with much data; small differences show on 40,430 validation examples",
    ),
    "glue/stsb": Note(
        "Graded similarity of sentences, a number from 0 to 5",
        (
            "a correlation hides errors of level and scale; Pearson can mislead in choosing a model (Reimers et al. 2016, COLING)",
            "sentences of news, captions and forums from several SemEval years (Cer et al. 2017): scores differ much by genre",
        ),
        "For regression heads and sentence embeddings",
    ),
    "glue/mnli": Note(
        "Entailment, contradiction or neither, over ten genres; the mismatched splits are of genres not trained on",
        (
            "annotation artefacts: a model that sees the hypothesis alone gets about 0.53 (Gururangan et al. 2018, NAACL)",
            "word overlap is taken for entailment (McCoy, Pavlick and Linzen 2019, HANS, ACL)",
        ),
        "The first choice for comparing encoders: large, nearly balanced, steady from seed to seed",
    ),
    "glue/qnli": Note(
        "Whether a sentence holds the answer to a question",
        (
            "made from SQuAD: no independent evidence beside it, and never mix it with training on SQuAD unsaid",
            "pairs with little word overlap were filtered out (Wang et al. 2019, GLUE), but overlap still tells much",
        ),
        "For pair classification and ranking of answers, with much data and balanced classes",
    ),
    "glue/rte": _RTE,
    "glue/wnli": Note(
        "Winograd schemas as entailment: whom a pronoun stands for",
        (
            "validation sentences are in training with the opposite label (Wang et al. 2019, GLUE): memorizing is below chance",
            "the test majority is 65.1 %; BERT's authors left it out (Devlin et al. 2019, NAACL)",
            "71 validation examples",
        ),
        "To complete a GLUE submission only; superglue/wsc asks the same better",
    ),
    "glue/ax": Note(
        "Entailment by linguistic phenomenon (lexical, logic, structure, knowledge), for models trained on MNLI",
        (
            "written by hand to probe: not a natural distribution, and no measure of general quality (Wang et al. 2019, GLUE)",
            "few examples of a phenomenon; some test very little",
        ),
        "To analyse a model, not to rank models",
    ),
    "superglue/boolq": Note(
        "Yes/no questions that people put to a search engine, answered by a Wikipedia passage",
        (
            "yes is the answer to 62 % (Clark et al. 2019)",
            "passages are long: 128 tokens cut many of them; look at the lengths",
            "training on MNLI first helps (Clark et al. 2019), so say whether that was done",
        ),
        "For reading with natural questions, fine-tuned or zero-shot",
    ),
    "superglue/cb": Note(
        "Whether a writer is committed to the truth of an embedded clause",
        (
            "56 validation examples: one is 1.8 points",
            "unbalanced, neutral is rare (Wang et al. 2019, SuperGLUE): macro-F1 swings with single examples",
        ),
        "As a part of SuperGLUE; alone only over many seeds",
    ),
    "superglue/copa": Note(
        "Causes and effects in everyday life: the more plausible of two sentences",
        (
            "single words give the answer away, and models use that (Kavumba et al. 2019, COIN workshop)",
            "100 validation questions: one is a point",
        ),
        "For commonsense with language models, zero- or few-shot",
    ),
    "superglue/multirc": Note(
        "Questions whose answers, any number of them, need several sentences of a paragraph",
        (
            "'true' for every answer has an F1a of about 0.6 and an exact match near 0 (Wang et al. 2019, SuperGLUE): quote both",
            "paragraphs are long: 128 tokens cut most of them",
        ),
        "For reading over several sentences; give --max_length=512",
    ),
    "superglue/record": Note(
        "The entity that is missing in a statement about a news article",
        (
            "made automatically from CNN and Daily Mail articles (Zhang et al. 2018), which web-trained models may have read",
            "a row an entity: training is long, and most rows are negative",
        ),
        "For reading with commonsense, with much training data",
    ),
    "superglue/rte": _RTE,
    "superglue/wic": Note(
        "Whether a word has the same sense in two sentences",
        (
            "people agree to about 80 % (Pilehvar and Camacho-Collados 2019): scores near it are at the ceiling",
            "senses follow WordNet, VerbNet and Wiktionary, which cut finer than speakers do",
        ),
        "For word meaning in context, with balanced classes",
    ),
    "superglue/wsc": Note(
        "Whom a pronoun stands for, where only knowledge of the world tells",
        (
            "'false' for all is right about 65 % of the time (Wang et al. 2019, SuperGLUE): small models do not get past it",
            "many schemas are solved by association (Trichelair et al. 2019, EMNLP; Elazar et al. 2021, EMNLP)",
            "104 validation examples",
        ),
        "As a part of SuperGLUE, or zero-shot for large language models",
    ),
    "superglue/axb": Note(
        "Entailment by linguistic phenomenon, for models trained on RTE: GLUE's diagnostic set with two classes",
        ("written by hand to probe: no measure of general quality (Wang et al. 2019, GLUE)",),
        "To analyse a model, not to rank models",
    ),
    "superglue/axg": Note(
        "Whether entailment by a model trained on RTE changes with the gender of a pronoun",
        (
            "356 templated examples",
            "a model that answers all alike has full parity (Wang et al. 2019, SuperGLUE): read accuracy beside it",
        ),
        "As one sign of bias of a fine-tuned model",
    ),
    "squad/v1.1": Note(
        "Finding an answer in a Wikipedia paragraph that has one",
        (
            "questions were written with the paragraph in view, so words match (Weissenborn et al. 2017, CoNLL)",
            "one distracting sentence halves the F1 of many models (Jia and Liang 2017, EMNLP)",
            "large models are above people's score: differences at the top are small",
        ),
        "For span extraction; take squad/v2.0 where a system must also decline",
    ),
    "squad/v2.0": Note(
        "Finding an answer in a paragraph, or saying that it has none",
        (
            "about half of the validation questions have no answer: 'no answer' for all has an F1 of 50",
            "the threshold for 'no answer' is searched on validation data, so its score there is a little too good",
            "questions were written with the paragraph in view (Rajpurkar, Jia and Liang 2018)",
        ),
        "For span extraction where answers may be missing, as in use",
    ),
    "lm/wikitext-2": _WIKITEXT,
    "lm/wikitext-103": _WIKITEXT,
    "lm/text": Note(
        "How well a language model predicts a text of yours",
        ("a single text is one genre: the interval over blocks of it says nothing of other texts",),
        "For your own domain, and for text newer than the model's training data",
    ),
    "lambada/openai": _LAMBADA,
    "lambada/standard": _LAMBADA,
    "blimp": Note(
        "English grammar of language models: 67 phenomena, 1,000 minimal pairs each",
        (
            "sentences are made by templates and often odd in meaning; people agree to 96.4 % (Warstadt et al. 2020)",
            "the mean hides much: look at the phenomena (--rows_out)",
        ),
        "For grammar of a language model without training, small models too; glue/cola for fine-tuned ones",
    ),
    "crows_pairs": Note(
        "Whether a model finds the more stereotypical of two sentences likelier, over nine kinds of bias",
        _BLODGETT,
        "As one sign of bias among several; never as proof that there is none",
    ),
    "stereoset/*": _STEREOSET,
    "winobias/*": _WINOBIAS,
    "winogender": Note(
        "Whether a pronoun's gender changes whom it is taken for",
        (
            "720 templated sentences; can show that there is bias, not that there is none (Rudinger et al. 2018)",
            "a model that guesses has no difference either: read accuracy beside it",
        ),
        "For gender bias by occupation, beside winobias",
    ),
    "bbq": Note(
        "Whether questions about people are answered by stereotype: when the text does not tell, and against what it tells",
        (
            "templates, with groups and stereotypes of the United States (Parrish et al. 2022)",
            "weak models answer near chance, and their bias score then says little: read both accuracies",
        ),
        "For bias in question answering, with language models of some size",
    ),
    "translation/wmt*": Note(
        "Translation of news between two languages",
        (
            "small differences in BLEU often go against people's judgement (Mathur et al. 2020, ACL): read chrF and the interval",
            "references are translationese, which favours literal output (Freitag, Grangier and Caswell 2020, EMNLP)",
            "test sets before WMT19 have sentences translated backwards, which are easier (Zhang and Toral 2019, WMT)",
            "only scores with the same sacreBLEU signature compare (Post 2018, WMT)",
        ),
        "For translation of general text; WMT19 and later",
    ),
    "translation/multi30k_*": Note(
        "Translation of short captions of photographs",
        ("a narrow domain with few words (Elliott et al. 2016): scores are high and say little of other text",),
        "For small models and quick runs: 29,000 training pairs",
    ),
    "codexglue/bigclonebench": Note(
        "Whether two Java functions do the same",
        (
            "its labels are incomplete, and called unfit for learning (Krinke and Ragkhitwetsagul 2022, IWSC)",
            "the same functions are in many pairs: the million pairs are far fewer independent examples",
        ),
        "To compare with published figures; codexglue/poj104 for clones by function",
    ),
    "codexglue/poj104": Note(
        "Finding programs that solve the same problem; the test's problems are not in training",
        ("short C and C++ programs of students, unlike code at work",),
        "For embeddings of code",
    ),
    "codexglue/devign": Note(
        "Whether a C function has a security defect",
        (
            "labels of such data are often wrong and rows duplicated (Croft, Babar and Kholoosi 2023, ICSE)",
            "models learn the project rather than the defect, and do not carry over (Chakraborty et al. 2021, IEEE TSE)",
        ),
        "To compare with published figures; nearly balanced, unlike code at work",
    ),
    "codexglue/cloze_*": Note(
        "A masked word of a function: maxmin asks for max or min, all for one of 930 words",
        (
            "answers are among few words, so a guess is often right (1 in 2 for maxmin)",
            "maxmin has few examples (38 for Ruby): read the interval",
        ),
        "For masked language models of code, without training",
    ),
    "codexglue/completion_*": Note(
        "The next token, or the rest of a line, of a file",
        ("duplicated files flatter models of code (Allamanis 2019, Onward!): check with `tfllm overlap`",),
        "For causal models of code",
    ),
    "codexglue/concode": Note(
        "A Java method from its documentation and class", (_CODE_BLEU,), "For text to code, fine-tuned; nothing is run"
    ),
    "codexglue/refinement_*": Note(
        "Repair of a Java function with its names replaced",
        (
            "copying the input has a BLEU of 78 (small) and 91 (medium), and no exact match (Lu et al. 2021): read exact match",
            "one reference: other repairs that are right count as wrong",
        ),
        "For code to code, fine-tuned",
    ),
    "codexglue/translation_*": Note(
        "Translation between Java and C#, of projects that exist in both",
        (_CODE_BLEU, "1,000 test functions of few projects (Lu et al. 2021)"),
        "For code to code, fine-tuned; nothing is run",
    ),
    "codexglue/summarization_*": Note(
        "The first sentence of a function's documentation",
        (
            "comments repeat themselves, and a retrieved comment scores well (Gros et al. 2020, ASE)",
            "kinds of BLEU rank models differently (Shi et al. 2022, ICSE): compare sentence_bleu with sentence_bleu only",
        ),
        "For code to text, in six languages",
    ),
    "codexglue/advtest": Note(
        "Finding a Python function by its documentation, its names replaced in the test",
        ("documentation is not what people search with (Huang et al. 2021, CoSQA, ACL)",),
        "For retrieval of code that does not rest on names",
    ),
    "codexglue/webquery": Note(
        "Whether a Python function answers a real web query",
        ("CodeXGLUE's test set has no public labels; training and validation data are CoSQA's (Huang et al. 2021)",),
        "For code search with real queries",
    ),
    "codexglue/documentation_*": Note(
        "Translation of technical documentation",
        ("one publisher's documents: one style, and names that are copied",),
        "For translation within a domain, with few training pairs (en-lv: 18,749)",
    ),
    "stdlib/docstrings": Note(
        "Whether a docstring's first sentence belongs to the code beside it",
        ("made from the running Python: other versions give other rows", "no published figures to compare with"),
        "To try the whole path, from data to report, without any download",
    ),
}


def note_of(name: str) -> Note | None:
    """The note of a task, or of the group that it is in; `None` where nothing is known, as of a task of the user's own.

    Example:
        >>> note_of("glue/mnli").measures.startswith("Entailment")
        True
    """
    if name in NOTES:
        return NOTES[name]
    return next((note for pattern, note in NOTES.items() if fnmatchcase(name, pattern)), None)
