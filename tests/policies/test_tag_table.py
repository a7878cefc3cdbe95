"""The table of names per item."""

import numpy as np
import pytest

from matinee_policies.errors import ContextError
from matinee_policies.tag_table import TagTable

LISTS = [["Zoe", "Ada"], [], ["Ada"], ["Bo", "Zoe", "Ada"]]


def test_each_item_keeps_its_names_in_order() -> None:
    table = TagTable.from_lists(LISTS)
    assert [list(table.of(item)) for item in range(len(table))] == LISTS
    assert table.names == ("Ada", "Bo", "Zoe")


def test_a_repeated_name_counts_once() -> None:
    assert TagTable.from_lists([["Ada", "Bo", "Ada"]]).of(0) == ("Ada", "Bo")


@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [3, 0], [2], [], [1, 1, 3]])
def test_subset_takes_the_rows_in_order(rows: list[int]) -> None:
    table = TagTable.from_lists(LISTS).subset(np.array(rows, dtype=np.int32))
    assert [list(table.of(item)) for item in range(len(table))] == [LISTS[row] for row in rows]


def test_empty_has_no_names() -> None:
    table = TagTable.empty(3)
    assert (len(table), table.names, table.of(2)) == (3, (), ())


@pytest.mark.parametrize(
    ("indptr", "indices", "rule"),
    [
        ([0, 2], [0], "rise from 0 to 1"),
        ([0, 2, 1], [0, 1], "rise from 0 to 2"),
        ([0, 2, 1, 2], [0, 1], "rise from 0 to 2"),
        ([0, 1], [2], "within 0 and 1"),
        ([0, 1], [-1], "within 0 and 1"),
        ([0, 2], [1, 1], "at most once"),
        ([], [], "M \\+ 1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    indptr: list[int], indices: list[int], rule: str
) -> None:
    with pytest.raises(ContextError, match=rule):
        TagTable(("a", "b"), np.array(indptr, dtype=np.int64), np.array(indices, dtype=np.int32))


def test_repeated_names_and_wrong_types_are_refused() -> None:
    pointers, rows = np.array([0, 1]), np.array([0], dtype=np.int32)
    with pytest.raises(ContextError, match="distinct"):
        TagTable(("a", "a"), pointers, rows)
    with pytest.raises(ContextError, match="int32"):
        TagTable(("a",), pointers, rows.astype(np.int64))
    with pytest.raises(ContextError, match="int64"):
        TagTable(("a",), pointers.astype(np.int32), rows)
