"""Packed rows say of every token what the row alone says."""

import numpy as np
import pytest
from toy_judging import byte_lm, letters_mlm, row_log_probs

from tfllm.errors import UserError
from tfllm.tasks.token_likelihoods import Request, answer, packed


def requests_of(draw, vocabulary, sizes):
    result = []
    for size in sizes:
        places = sorted(draw.choice(size, draw.integers(1, size + 1), replace=False).tolist())
        targets = draw.integers(5, vocabulary, len(places)).tolist()
        result.append(Request(tuple(draw.integers(5, vocabulary, size).tolist()), tuple(places), tuple(targets)))
    return result


@pytest.mark.parametrize("make", [byte_lm, letters_mlm])
@pytest.mark.parametrize("batch_tokens", [1, 300, 4096])
def test_answers_are_those_of_the_row_alone(make, batch_tokens):
    model = make()
    draw = np.random.default_rng(0)
    requests = requests_of(draw, 60, [1, 2, 90, 37, 5, 128, 61, 60, 3, 17])
    first = requests[2]
    requests += [
        Request(first.token_ids, (4,), (7,)),  # the same row
        Request(first.token_ids[:20], (19, 3), (9, 9)),  # its beginning
    ]
    seen = []
    answers = answer(
        model, requests, batch_tokens=batch_tokens, progress=lambda done, total: seen.append((done, total))
    )
    for request, found in zip(requests, answers, strict=True):
        table = row_log_probs(model, request.token_ids)[list(request.places)]
        np.testing.assert_allclose(found.log_probs, table[range(len(table)), list(request.targets)], atol=2e-5)
        np.testing.assert_array_equal(found.greedy, table.argmax(-1) == request.targets)
    assert seen[-1][0] == seen[-1][1] and [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_beginning_is_read_once_by_a_causal_model_and_apart_by_a_masked_one():
    requests = [Request(tuple(range(5, 5 + n)), (n - 1,), (9,)) for n in (3, 4, 6, 6)]
    for model, rows in ((byte_lm(), 6), (letters_mlm(), 3 + 4 + 6)):
        totals = set()
        answer(model, requests, progress=lambda done, total, totals=totals: totals.add(total))
        assert totals == {rows}


def test_every_row_has_one_place_and_next_to_nothing_is_padding():
    lengths = np.random.default_rng(1).integers(5, 100, 3000).tolist()
    batches = packed(lengths, 4096)
    placed = np.zeros(len(lengths), int)
    for batch in batches:
        assert len(batch.rows) <= batch.height and batch.height * batch.width <= 4096
        for row in batch.rows:
            end = 0
            for start, index in row:
                assert start == end
                end += lengths[index]
                placed[index] += 1
            assert end <= batch.width
    assert (placed == 1).all()
    assert sum(lengths) / sum(batch.height * batch.width for batch in batches) > 0.97
    assert len({(batch.height, batch.width) for batch in batches}) <= 2


def test_weights_that_change_are_seen():
    model, request = byte_lm(), Request((5, 6, 7), (2,), (8,))
    before = answer(model, [request])[0].log_probs[0]
    model.backbone.embedding.token.embeddings.assign(model.backbone.embedding.token.embeddings * 0.5)
    after = answer(model, [request])[0].log_probs[0]
    assert before != after
    assert after == pytest.approx(row_log_probs(model, [5, 6, 7])[2, 8], abs=1e-5)


@pytest.mark.parametrize(
    "request_, message",
    [
        (Request(tuple(range(600)), (0,), (1,)), "longer than the model reads, 512: 600 tokens"),
        (Request((1, 2), (2,), (1,)), "places from 0 to 1"),
        (Request((1, 2), (0, 1), (1,)), "a target for each of its places"),
        (Request((1, 2), (0,), (258,)), "from 0 to 257. Received: 1 to 258"),
    ],
)
def test_wrong_requests_are_refused(request_, message):
    with pytest.raises(UserError, match=message):
        answer(byte_lm(), [request_])


def test_other_models_are_refused():
    from toy_generation import toy_config

    from tfllm.models import Seq2SeqLM

    model = Seq2SeqLM(toy_config(causal=False, num_decoder_layers=1, decoder_start_id=0))
    with pytest.raises(UserError, match="causal or a masked language model. Received: a Seq2SeqLM"):
        answer(model, [Request((1,), (0,), (1,))])
