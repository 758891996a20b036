"""Rows on disk are the rows that were written, one at a time."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill.training.data.examples import TokenizedExample
from decompose_distill.training.data.token_dataset import write_rows

ROW = st.builds(
    lambda name, prompt, completion: TokenizedExample(name, (*prompt, *completion), len(prompt)),
    st.text(),
    st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=9),
    st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=9),
)


@given(st.lists(ROW, max_size=9))
def test_what_is_written_is_read_back(given_rows: list[TokenizedExample]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = write_rows(iter(given_rows), Path(folder))

        assert list(rows) == given_rows
        assert rows[1:] == given_rows[1:]
        assert rows.lengths == [len(row.ids) for row in given_rows]
        assert rows.repeats == len(rows) - len({(row.ids, row.start) for row in given_rows})
        if given_rows:
            assert rows.largest_id == max(max(row.ids) for row in given_rows)
            assert rows.most_targets == max(row.targets for row in given_rows)


def test_rows_that_share_a_prompt_are_found(tmp_path: Path) -> None:
    given_rows = [
        TokenizedExample("a", (1, 2, 3), 2),
        TokenizedExample("b", (1, 2, 4), 2),
        TokenizedExample("c", (5, 2, 3), 2),
    ]
    rows = write_rows(given_rows, tmp_path)
    first, rest = rows.where(np.array([1, 0, 0], bool)), rows.where(np.array([0, 1, 1], bool))

    assert [row.name for row in rest.shared_prompts(first)] == ["b"]
    assert rows.different_completions == 2


def test_a_place_that_is_not_there_is_an_index_error(tmp_path: Path) -> None:
    with pytest.raises(IndexError):
        write_rows([], tmp_path)[0]
