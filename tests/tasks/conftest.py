"""A small GLUE directory with the traps of the real one."""

import pytest
from toy_judging import byte_lm, letters_mlm

MNLI_COLUMNS = (
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse"
    "\tsentence1\tsentence2"
)
LINES = {
    "CoLA/train.tsv": [
        'gj04\t1\t\tThe "sailors" rode.',
        "gj04\t0\t*\tThe sailors rode the ",
        "r-67\t1\t\tI\u2028am here.",
    ],
    "CoLA/dev.tsv": ["gj04\t0\t*\tWho did go?", "gj04\t1\t\tHe went."],
    "CoLA/test.tsv": ["index\tsentence", "0\tBill pushed.", '1\tBill\'s "mother".'],
    "SST-2/train.tsv": ["sentence\tlabel", "hide new secretions \t0", 'a " fine " film \t1', "contains no wit \t0"],
    "SST-2/dev.tsv": ["sentence\tlabel", "it 's charming . \t1", "unflinchingly bleak \t0"],
    "SST-2/test.tsv": ["index\tsentence", "0\tuneasy mishmash .", '1\t"fun" .'],
    "MRPC/msr_paraphrase_train.txt": [
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        '1\t702876\t702977\tAmrozi accused his brother, "the witness".\tReferring to him as "the witness".',
        "0\t2108705\t2108831\tYucaipa owned it.\tYucaipa bought it.",
        "1\t1330381\t1330521\tThey had published.\tOn June 10.",
        "0\t3344667\t3344648\tAround 0335.\tTab shares jumped.",
    ],
    "MRPC/dev_ids.tsv": ["1330381\t1330521", "702876\t702977"],
    "MRPC/msr_paraphrase_test.txt": [
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        "1\t1089874\t1089925\tPCCW's chief.\tCurrent chief.",
    ],
    "QQP/train.tsv": [
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        '1\t2\t3\tWhy "so"?\tWhy?\t0',
        "2\t4\t5\tWas he a real figure",
        '"\tWas he real?\t0',
        "3\t6\t7\tHow can I?\tHow could I?\t1",
    ],
    "QQP/dev.tsv": [
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        "1\t2\t3\tWhat?\tWho?\t0",
        "4\t5\t6\t\tEmpty?\t1",
    ],
    "QQP/test.tsv": ["id\tquestion1\tquestion2", "0\tWould it?\tDo you?", '1\tIs it?\tIs "it"?'],
    "STS-B/train.tsv": [
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
        "0\tmain\tMSRvid\t2012\t1\tnone\tnone\tA plane.\tAn air plane.\t5.000",
        '1\tmain\tMSRvid\t2012\t4\tnone\tnone\tA man "plays".\tA man.\t3.800',
        "2\tmain\tMSRvid\t2012\t4\tnone\tnone\tA cat.\tA dog.\t0.000",
    ],
    "STS-B/dev.tsv": [
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
        "0\tmain\tMSRvid\t2012\t1\tnone\tnone\tA hat.\tA hard hat.\t4.750",
    ],
    "STS-B/test.tsv": [
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2",
        "0\tmain\tMSRvid\t2012\t1\tnone\tnone\tA girl.\tA woman.",
        "1\tmain\tMSRvid\t2012\t1\tnone\tnone\tA boy.\tA man.",
    ],
    "MNLI/train.tsv": [
        MNLI_COLUMNS + "\tlabel1\tgold_label",
        "0\t31193\t31193n\tgovernment\tx\tx\tx\tx\tCream skimming.\tProduct and geography.\tneutral\tneutral",
        "1\t101457\t101457e\ttelephone\tx\tx\tx\tx\tyou know",
        "2\t134793\t134793e\tfiction\tx\tx\tx\tx\tOne of our number.\tA member of my team.\tentailment\tentailment",
        '3\t134793\t134793c\tfiction\tx\tx\tx\tx\t"Yes".\tNo.\tcontradiction\tcontradiction',
    ],
    **{
        f"MNLI/dev_{name}.tsv": [
            MNLI_COLUMNS + "\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label",
            f"0\t1\t1n\t{name}\tx\tx\tx\tx\tThe new rights.\tEveryone likes it.\tneutral\tentailment" + "\tneutral" * 4,
            f"1\t2\t2c\t{name}\tx\tx\tx\tx\tThis site.\tNo {name} site." + "\tneutral" * 5 + "\tcontradiction",
        ]
        for name in ("matched", "mismatched")
    },
    **{
        f"MNLI/test_{name}.tsv": [
            MNLI_COLUMNS,
            f'0\t31493\t31493\t{name}\tx\tx\tx\tx\tHierbas, "dulce".\tHierbas is a name.',
        ]
        for name in ("matched", "mismatched")
    },
    "QNLI/train.tsv": [
        "index\tquestion\tsentence\tlabel",
        "0\tWhen did it?\tFrom the 9th.\tentailment",
        '1\tWho?\tNo "one".\tnot_entailment',
    ],
    "QNLI/dev.tsv": ["index\tquestion\tsentence\tlabel", "0\tWhat came?\tAs of that day.\tnot_entailment"],
    "QNLI/test.tsv": ["index\tquestion\tsentence", "0\tWhat organization?\tThe GNS."],
    "RTE/train.tsv": [
        "index\tsentence1\tsentence2\tlabel",
        "0\tNo weapons.\tWeapons.\tnot_entailment",
        "1\tA place.\tPope.\tentailment",
    ],
    "RTE/dev.tsv": ["index\tsentence1\tsentence2\tlabel", "0\tDana Reeve.\tChristopher.\tnot_entailment"],
    "RTE/test.tsv": ["index\tsentence1\tsentence2", "0\tMangla.\tThree."],
    "WNLI/train.tsv": [
        "index\tsentence1\tsentence2\tlabel",
        "0\tI stuck a pin.\tThe carrot.\t1",
        "1\tJohn.\tBilly.\t0",
    ],
    "WNLI/dev.tsv": ["index\tsentence1\tsentence2\tlabel", "0\tThe drain.\tThe hair.\t0"],
    "WNLI/test.tsv": ["index\tsentence1\tsentence2", "0\tMaude.\tDora."],
    "AX/AX.tsv": ["index\tsentence1\tsentence2", "0\tThe cat sat.\tThe cat did not.", '1\tThe "cat".\tThe cat.'],
    "AX/diagnostic-full.tsv": [
        "Lexical Semantics\tPredicate-Argument Structure\tLogic\tKnowledge\tDomain\tPremise\tHypothesis\tLabel",
        "\t\tNegation\t\tArtificial\tThe cat sat.\tThe cat did not.\tcontradiction",
        '\t\tNegation\t\tArtificial\tThe "cat".\tThe cat.\tentailment',
    ],
}


@pytest.fixture(autouse=True)
def token_cache(tmp_path_factory, monkeypatch):
    """Token ids are cached in a directory of the test, not in the user's."""
    monkeypatch.setenv("TFLLM_CACHE", str(tmp_path_factory.getbasetemp() / "token_cache"))


@pytest.fixture(scope="session")
def glue_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("glue_data")
    for name, lines in LINES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(("\n".join(lines) + "\n").encode())
    return root


@pytest.fixture(scope="module")
def causal():
    """A language model over bytes."""
    return byte_lm()


@pytest.fixture(scope="module")
def masked():
    """A masked language model over letters."""
    return letters_mlm()
