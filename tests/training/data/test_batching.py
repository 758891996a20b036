"""Every row is seen once an epoch, and packed rows do not see each other."""

from hypothesis import given
from hypothesis import strategies as st

from decompose_distill.training.data.batching import (
    PADDING,
    collate,
    pack,
    plan_batches,
    shared_prefix,
)
from decompose_distill.training.data.tokenization import TokenizedExample
from decompose_distill.training.engine.attention import packed_mask, packed_positions

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


@given(ROWS)
def test_packing_keeps_every_row_whole_in_lines_no_longer_than_the_longest(
    rows: list[TokenizedExample],
) -> None:
    lines = pack(rows)

    assert sorted(row.name for line in lines for row in line) == sorted(row.name for row in rows)
    assert max(sum(len(row.ids) for row in line) for line in lines) == max(
        len(row.ids) for row in rows
    )


@given(ROWS)
def test_a_packed_batch_trains_the_same_tokens_at_the_same_places(
    rows: list[TokenizedExample],
) -> None:
    batch = collate(rows, packing=True)
    assert batch.documents is not None
    mask, places = packed_mask(batch.documents), packed_positions(batch.documents)

    assert sorted(batch.ids[batch.targets].tolist()) == sorted(
        token for row in rows for token in row.ids[row.start :]
    )
    for line, row_of in enumerate(batch.documents.tolist()):
        for at, document in enumerate(row_of):
            seen = [other for other in range(len(row_of)) if mask[line, 0, at, other]]
            first = row_of.index(document)
            assert seen == list(range(first, at + 1))
            assert int(places[line, at]) == at - first
    assert (batch.documents == PADDING).sum() == batch.ids.numel() - sum(
        len(row.ids) for row in rows
    )


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=20), min_size=1, max_size=4))
def test_the_shared_prefix_is_common_and_leaves_what_predicts_a_target(
    prompts_ids: list[list[int]],
) -> None:
    instruction = [5] * 600
    rows = [TokenizedExample("x", (*instruction, *ids, 7), 600 + len(ids)) for ids in prompts_ids]
    length = shared_prefix(rows)

    assert length >= (600 if len(rows) > 1 else 0)
    assert len({row.ids[:length] for row in rows}) == 1
    assert all(length < row.start for row in rows)
