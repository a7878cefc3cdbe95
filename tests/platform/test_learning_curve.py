"""Learning curves, propensities and regret read from a log, against pandas over all of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather

from matinee_platform.analysis.learning_curve import ratio_by_unit, read_learning_curve
from matinee_platform.analysis.propensity_diagnostics import read_propensities
from matinee_platform.analysis.regret import read_regret
from matinee_policies.errors import ConfigError

ARM, DAYS, SLOTS, WINDOW = "lin_ucb", 10, 3, 4


def fixed(values: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def write_day(run: Path, kind: str, day: int, table: pa.Table) -> None:
    folder = run / kind / ARM
    folder.mkdir(parents=True, exist_ok=True)
    feather.write_feather(table, folder / f"part-{day:05d}.arrow", chunksize=11)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """A log of 10 days, day 6 of which nobody came, as files and as one frame of pages."""
    run = tmp_path_factory.mktemp("log")
    rng = np.random.default_rng(4)
    frames = []
    for day in range(DAYS):
        n = 0 if day == 6 else int(rng.integers(20, 60))
        if not n:
            continue
        pages = pd.DataFrame(
            {
                "id": rng.choice(2**60, n, replace=False).astype(np.uint64),
                "unit": rng.integers(1, 30, n).astype(np.uint64),
                "day": day,
                "clicks": 0.0,
                "watch": 0.0,
            }
        )
        slate = rng.integers(0, 50, (n, SLOTS)).astype(np.int32)
        slate[rng.random(n) < 0.3, SLOTS - 1] = -1
        propensities = rng.choice([1.0, 0.9, 0.02, 0.01], (n, SLOTS), p=[0.1, 0.6, 0.2, 0.1])
        propensities[slate == -1] = 1.0
        pages["slots"] = (slate >= 0).sum(axis=1)
        pages["explored"] = ((slate >= 0) & (propensities < 0.5)).sum(axis=1)
        pages["slate"], pages["propensities"] = list(slate), list(propensities)
        write_day(
            run,
            "decisions",
            day,
            pa.table(
                {
                    "decision_id": pages.id.to_numpy(),
                    "unit": pages.unit.to_numpy(),
                    "slate": fixed(slate),
                    "propensities": fixed(propensities),
                }
            ),
        )
        rows, components, values = [], [], []
        for row in np.flatnonzero(rng.random(n) < 0.5):
            watched = float(np.float32(rng.random()))
            rows += [pages.id[row]] * 2
            components += ["click", "watch"]
            values += [1.0, watched]
            pages.loc[row, ["clicks", "watch"]] += [1.0, watched]
        # Returns and ratings of other days must not count.
        rows += [np.uint64(5), pages.id[0]]
        components += ["click", "return_visit"]
        values += [1.0, 1.0]
        order = rng.permutation(len(rows))
        write_day(
            run,
            "rewards",
            day,
            pa.table(
                {
                    "decision_id": np.array(rows, dtype=np.uint64)[order],
                    "component": pa.array(np.array(components)[order]).dictionary_encode(),
                    "value": np.array(values, dtype=np.float32)[order],
                }
            ),
        )
        frames.append(pages)
    return run, pd.concat(frames, ignore_index=True)


def test_windows_equal_sums_over_the_whole_log(log: tuple[Path, pd.DataFrame]) -> None:
    run, pages = log
    curve = read_learning_curve(run, ARM, days=DAYS, window=WINDOW)
    assert curve.first.tolist() == [0, 4, 8]
    assert curve.last.tolist() == [3, 7, 9]
    groups = pages.groupby(pages.day // WINDOW)[["watch", "clicks", "explored", "slots"]].sum()
    counts = pages.groupby(pages.day // WINDOW).size()
    np.testing.assert_array_equal(curve.pages, counts)
    np.testing.assert_allclose(curve.engagement.value, groups.watch / counts, rtol=1e-12)
    np.testing.assert_allclose(curve.ctr.value, groups.clicks / groups.slots, rtol=1e-12)
    np.testing.assert_allclose(curve.explored.value, groups.explored / groups.slots, rtol=1e-12)


def test_intervals_take_units_and_not_pages_as_the_sample(log: tuple[Path, pd.DataFrame]) -> None:
    run, pages = log
    curve = read_learning_curve(run, ARM, days=DAYS, window=DAYS)
    units = pages.groupby("unit")[["clicks", "slots"]].sum()
    ratio = units.clicks.sum() / units.slots.sum()
    residual = units.clicks - ratio * units.slots
    error = np.sqrt(residual.var(ddof=1) / len(units)) / units.slots.mean()
    assert curve.ctr.half[0] == pytest.approx(1.959964 * error, rel=1e-6)


def test_a_window_without_visits_has_no_value(log: tuple[Path, pd.DataFrame]) -> None:
    run, _ = log
    curve = read_learning_curve(run, ARM, days=DAYS, window=1)
    assert curve.pages[6] == 0
    assert np.isnan(curve.ctr.value[6])
    assert np.isfinite(np.delete(curve.ctr.value, 6)).all()
    with pytest.raises(ConfigError, match="days of a window"):
        read_learning_curve(run, ARM, days=DAYS, window=0)


def test_intervals_by_unit_cover_the_truth() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        pages = rng.geometric(0.3, 80).astype(np.float64)
        clicks = rng.binomial(pages.astype(int), rng.beta(2, 6, 80)).astype(np.float64)
        value, half = ratio_by_unit(clicks, pages)
        covered += abs(value - 0.25) < half
    assert abs(covered / 400 - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 400)
    assert np.isnan(ratio_by_unit(np.zeros(0), np.zeros(0))).all()


def test_propensities_equal_those_of_the_whole_log(log: tuple[Path, pd.DataFrame]) -> None:
    run, pages = log
    found = read_propensities(run, ARM)
    slates, values = np.stack(pages.slate.tolist()), np.stack(pages.propensities.tolist())
    shown = values[slates >= 0]
    assert found.slots == shown.size
    assert found.smallest == 0.01
    assert found.certain == pytest.approx(np.mean(shown == 1.0))
    assert found.at_floor == pytest.approx(np.mean(shown == 0.01))
    assert found.histogram.sum() == pytest.approx(1.0)
    assert found.histogram[-1] == pytest.approx(np.mean(shown >= 0.9))
    for share, value in found.quantiles.items():
        exact = np.quantile(shown, share, method="inverted_cdf")
        assert exact * 0.997 <= value <= exact * (1 + 1e-9)


def test_a_certain_log_has_no_floor(tmp_path: Path) -> None:
    slate = np.zeros((4, 2), dtype=np.int32)
    table = pa.table({"slate": fixed(slate), "propensities": fixed(np.ones((4, 2)))})
    write_day(tmp_path, "decisions", 0, table)
    found = read_propensities(tmp_path, ARM)
    assert (found.certain, found.at_floor, found.smallest) == (1.0, 0.0, 1.0)
    nothing = read_propensities(tmp_path, "nobody")
    assert nothing.slots == 0
    assert np.isnan(nothing.smallest)


def test_the_floor_is_that_of_the_whole_log(tmp_path: Path) -> None:
    for day, value in enumerate((0.3, 0.2, 0.1, 0.1)):
        table = pa.table(
            {
                "slate": fixed(np.zeros((5, 1), dtype=np.int32)),
                "propensities": fixed(np.full((5, 1), value)),
            }
        )
        write_day(tmp_path, "decisions", day, table)
    found = read_propensities(tmp_path, ARM)
    assert found.smallest == 0.1
    assert found.at_floor == 0.5


def test_regret_is_averaged_by_window_and_never_below_zero(tmp_path: Path) -> None:
    rows = [(0, 1, 1.0, 1.5, 2.0), (1, 1, 2.0, 1.5, 1.9), (1, 2, 0.5, 1.5, 2.5), (5, 2, 1, 1, 1)]
    for day in (0, 1, 5):
        here = np.array([row for row in rows if row[0] == day])
        table = pa.table(
            {
                "unit": here[:, 1].astype(np.uint64),
                "expected_clicks": here[:, 2],
                "greedy_clicks": here[:, 3],
                "bound_clicks": here[:, 4],
            }
        )
        write_day(tmp_path, "regret", day, table)
    found = read_regret(tmp_path, ARM, days=6, window=2)
    assert found is not None
    assert found.pages.tolist() == [3, 0, 1]
    np.testing.assert_allclose(found.low, [(0.5 + 0.0 + 1.0) / 3, np.nan, 0.0])
    np.testing.assert_allclose(found.high, [(1.0 + 0.0 + 2.0) / 3, np.nan, 0.0])
    assert found.mean_low == pytest.approx(1.5 / 4)
    assert found.mean_expected == pytest.approx(4.5 / 4)
    assert read_regret(tmp_path, "nobody", days=6, window=2) is None
