"""Every row is seen once an epoch, and lies on a line whole."""

from itertools import chain

import torch
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill.training.data.batching import (
    Batch,
    cut,
    deal,
    lay_end_to_end,
    pad_rows,
    plan_batches,
    shared_prefix,
    split_rows,
)
from decompose_distill.training.data.examples import TokenizedExample

CPU = torch.device("cpu")
ROWS = st.lists(st.integers(2, 30), min_size=1, max_size=20).map(
    lambda lengths: [
        TokenizedExample(str(name), tuple(range(name, name + length)), 1)
        for name, length in enumerate(lengths)
    ]
)


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=200),
    batch_size=st.integers(1, 9),
    epochs=st.integers(1, 3),
    seed=st.integers(0, 9),
    group=st.booleans(),
)
def test_every_row_is_seen_once_an_epoch(
    lengths: list[int], batch_size: int, epochs: int, seed: int, group: bool
) -> None:
    batches = list(plan_batches(lengths, batch_size, epochs, seed, group=group))
    per_epoch = -(-len(lengths) // batch_size)

    assert len(batches) == epochs * per_epoch
    for epoch in range(epochs):
        seen = batches[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert sorted(place for batch in seen for place in batch) == list(range(len(lengths)))
    assert all(len(batch) <= batch_size for batch in batches)


@given(ROWS, st.integers(1, 100))
def test_a_step_is_cut_into_passes_in_order_and_about_as_long(
    rows: list[TokenizedExample], tokens: int
) -> None:
    passes = split_rows(rows, tokens)
    longest = max(len(row.ids) for row in rows)

    assert [row for part in passes for row in part] == rows
    assert all(sum(len(row.ids) for row in part) < tokens + longest for part in passes)
    assert [len(part) for part in split_rows(rows, tokens, 3)[:-1]] == [3] * ((len(rows) - 1) // 3)


@given(ROWS)
def test_as_few_tokens_as_the_shortest_row_gives_each_a_pass(rows: list[TokenizedExample]) -> None:
    assert len(split_rows(rows, min(len(row.ids) for row in rows))) == len(rows)


@given(ROWS, st.lists(st.integers(0, 9), min_size=8, max_size=12))
def test_rows_end_to_end_hold_each_token_once_and_a_shared_beginning_only_once(
    rows: list[TokenizedExample], begin: list[int]
) -> None:
    rows = [TokenizedExample(r.name, (*begin, *r.ids), len(begin) + r.start) for r in rows]
    batch = lay_end_to_end(rows, CPU)
    documents = batch.documents
    assert documents is not None
    ids, prefix = batch.ids[0].tolist(), documents.prefix
    places = documents.keys.split(documents.key_ends.diff().tolist())

    assert prefix == (0 if len(rows) == 1 else shared_prefix(rows) or 0)
    assert len(ids) == prefix + sum(len(row.ids) - prefix for row in rows)
    for row, keys in zip(rows, places, strict=True):
        assert [ids[key] for key in keys.tolist()] == list(row.ids)
        assert batch.positions[0][keys].tolist() == list(range(len(row.ids)))
    assert documents.query_ends.diff().tolist() == list(documents.lengths)
    _assert_predicts_targets(batch, rows)


@given(ROWS)
def test_padded_rows_predict_the_same_tokens(rows: list[TokenizedExample]) -> None:
    batch = pad_rows(rows, CPU)

    assert len(batch.ids) == len(rows)
    _assert_predicts_targets(batch, rows)


def _assert_predicts_targets(batch: Batch, rows: list[TokenizedExample]) -> None:
    ids, positions = batch.ids.flatten(), batch.positions.flatten()
    wanted = [
        (row.ids[at - 1], row.ids[at]) for row in rows for at in range(row.start, len(row.ids))
    ]
    places = [at - 1 for row in rows for at in range(row.start, len(row.ids))]

    assert batch.labels.tolist() == [label for _, label in wanted]
    assert ids[batch.predicting].tolist() == [before for before, _ in wanted]
    assert positions[batch.predicting].tolist() == places


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=20), min_size=2, max_size=4))
def test_the_shared_prefix_is_common_and_leaves_what_predicts_a_target(
    prompts_ids: list[list[int]],
) -> None:
    instruction = [5] * 20
    rows = [TokenizedExample("x", (*instruction, *ids, 7), 20 + len(ids)) for ids in prompts_ids]
    length = shared_prefix(rows)

    assert length >= 20
    assert len({row.ids[:length] for row in rows}) == 1
    assert all(length < row.start for row in rows)


@given(st.lists(st.integers(1, 90), min_size=1), st.integers(1, 200))
def test_passes_cut_a_step_in_order_and_leave_nothing_out(lengths: list[int], tokens: int) -> None:
    parts = cut(lengths, tokens)

    assert list(chain.from_iterable(parts)) == list(range(len(lengths)))
    assert all(parts)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=60), st.integers(1, 9))
def test_every_row_is_taken_once_and_no_process_has_a_row_too_many(
    lengths: list[int], processes: int
) -> None:
    parts = deal(lengths, processes)
    loads = [sum(lengths[row] for row in part) for part in parts]

    assert sorted(chain.from_iterable(parts)) == list(range(len(lengths)))
    assert max(loads) - min(loads) <= max(lengths)
    assert all(part == sorted(part) for part in parts)
