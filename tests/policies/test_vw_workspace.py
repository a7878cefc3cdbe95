import gc
import re
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import matinee_policies
from matinee_policies import ConfigError, ContextError, SnapshotError
from matinee_policies.arrays import FloatArray
from matinee_policies.vw_text import (
    row_format,
    rows_text,
    rows_text_reference,
)
from matinee_policies.vw_workspace import Workspace

OPTIONS = ["--bit_precision", "12", "--learning_rate", "0.5"]
LABELLED = row_format(3, context_features=[], labelled=True)
PLAIN = row_format(3, context_features=[], labelled=False)

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def example_rows(seed: int, *, rows: int) -> FloatArray:
    """Cost, weight and three features."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 3)).astype(np.float32)
    cost = X.astype(float) @ [0.3, -0.2, 0.1] + rng.normal(size=rows) * 0.1
    return np.column_stack([cost, rng.uniform(0.01, 20.0, rows), X])


def learned(workspace: Workspace, numbers: FloatArray, *, chunk: int = 1_000) -> None:
    for start in range(0, len(numbers), chunk):
        part = numbers[start : start + chunk]
        workspace.learn(rows_text(part, LABELLED), rows=len(part))


@settings(max_examples=300, deadline=None)
@given(st.lists(FLOATS, min_size=3, max_size=3))
def test_text_names_every_float_exactly_and_nothing_else(numbers: list[float]) -> None:
    text = rows_text(np.array([numbers]), PLAIN)
    assert re.fullmatch(r"\|a( \d+:-?(0|\d\.\d{8}e-?\d{1,2})){3}\n", text)
    read = [float(word.split(":")[1]) for word in text.split()[1:]]
    # Numbers below the smallest normal float32 are none to Vowpal Wabbit.
    kept = np.where(np.abs(numbers) < np.finfo(np.float32).tiny, 0.0, numbers)
    np.testing.assert_array_equal(np.array(read, dtype=np.float32), kept.astype(np.float32))


@pytest.mark.parametrize("scale", [1e-37, 1e-3, 1.0, 9.99999999e5, 1e37])
def test_text_equals_python_formatting(scale: float) -> None:
    rng = np.random.default_rng(0)
    numbers = (rng.normal(size=(500, 5)) * scale).astype(np.float32).astype(np.float64)
    numbers[::7, 1] = 0.0
    numbers[3] = [1.0, 10.0, -100.0, 0.1, 0.001]
    numbers[4] = [0.99999999999, 9.9999999999, 999999999.9, 1e-10, -1e-5]
    form = row_format(3, context_features=[1], labelled=True)
    prefixes = ["", " ", " |a 0:", " 2:", " |c 1:"]
    assert rows_text(numbers, form) == rows_text_reference(numbers, prefixes)
    assert form.columns.tolist() == [0, 2, 1]


def test_predictions_are_linear_in_the_weights_that_it_gives() -> None:
    with Workspace(OPTIONS) as workspace:
        learned(workspace, example_rows(0, rows=400))
        X = example_rows(1, rows=50)[:, 2:]
        weights = workspace.weights([workspace.feature_index("a", j) for j in range(3)])
        predicted = workspace.predict(rows_text(X, PLAIN), rows=50)
    assert np.abs(weights).min() > 0.01
    np.testing.assert_allclose(predicted, X @ weights, rtol=0, atol=1e-6)


def test_it_learns_a_regression() -> None:
    """Least squares with the same importance weights is the oracle."""
    numbers = example_rows(0, rows=20_000)
    with Workspace(OPTIONS) as workspace:
        learned(workspace, numbers)
        weights = workspace.weights([workspace.feature_index("a", j) for j in range(3)])
    X, importance = numbers[:, 2:], numbers[:, 1:2]
    expected = np.linalg.solve(X.T @ (importance * X), X.T @ (importance[:, 0] * numbers[:, 0]))
    # Online updates keep moving with the noise, of which the standard deviation is 0.1.
    np.testing.assert_allclose(weights, expected, rtol=0, atol=0.03)


@pytest.mark.parametrize("chunk", [1, 7, 300])
def test_state_does_not_depend_on_chunks_or_on_being_saved(chunk: int) -> None:
    numbers = example_rows(0, rows=300)
    with Workspace(OPTIONS) as workspace:
        learned(workspace, numbers)
        expected = workspace.model()
    with Workspace(OPTIONS) as first:
        learned(first, numbers[:120], chunk=chunk)
        half = first.model()
    with Workspace(OPTIONS, model=half) as second:
        learned(second, numbers[120:], chunk=chunk)
        np.testing.assert_array_equal(second.model(), expected)


def test_predicting_does_not_change_the_weights() -> None:
    with Workspace(OPTIONS) as workspace:
        learned(workspace, example_rows(0, rows=20))
        indices = [workspace.feature_index("a", j) for j in range(3)]
        before = workspace.weights(indices)
        text = rows_text(example_rows(1, rows=5)[:, 2:], PLAIN)
        first = workspace.predict(text, rows=5)
        np.testing.assert_array_equal(workspace.predict(text, rows=5), first)
        np.testing.assert_array_equal(workspace.weights(indices), before)


def test_failures_carry_the_text_of_vowpal_wabbit() -> None:
    with pytest.raises(ConfigError, match="take its options: unrecognised option '--nonsense'"):
        Workspace(["--nonsense"])
    foreign = np.frombuffer(b"no model at all", dtype=np.uint8)
    with pytest.raises(SnapshotError, match="load its model: Bad model format"):
        Workspace(OPTIONS, model=foreign)


def test_text_of_another_number_of_examples_is_refused() -> None:
    with Workspace(OPTIONS) as workspace:
        text = rows_text(example_rows(0, rows=3)[:, 2:], PLAIN)
        with pytest.raises(ContextError, match="text of 2 examples was read as 3"):
            workspace.predict(text, rows=2)


def test_a_closed_workspace_refuses_to_work() -> None:
    workspace = Workspace(OPTIONS)
    states = [workspace.closed]
    for _ in range(2):
        workspace.close()
        states.append(workspace.closed)
    assert states == [False, True, True]
    for use in (
        lambda: workspace.learn("", rows=0),
        lambda: workspace.predict("", rows=0),
        lambda: workspace.weights([0]),
        lambda: workspace.feature_index("a", 0),
        workspace.model,
    ):
        with pytest.raises(ContextError, match="workspace must be open"):
            use()


def test_a_workspace_closes_after_an_error_and_when_forgotten() -> None:
    kept = Workspace(OPTIONS)
    with pytest.raises(ContextError), kept:
        kept.learn("1 1 |a 0:1", rows=2)
    assert kept.closed
    forgotten = Workspace(OPTIONS)
    finish, here = forgotten._finish, weakref.ref(forgotten)
    del forgotten
    gc.collect()
    assert here() is None
    assert not finish.alive


def test_one_module_imports_the_binding_and_the_package_does_not() -> None:
    folder = Path(matinee_policies.__file__).parent
    importing = [
        path.name
        for path in folder.rglob("*.py")
        if re.search(r"^\s*(import|from) (pylibvw|vowpalwabbit)", path.read_text(), re.MULTILINE)
    ]
    assert importing == ["vw_workspace.py"]
    check = "import matinee_policies, sys; sys.exit('pylibvw' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
