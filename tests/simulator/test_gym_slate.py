"""The semi-real world as gymnasium environments: their contract, and that they are the world."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from matinee_policies.datasets.dataset import Dataset
from matinee_policies.errors import ConfigError, ContextError
from matinee_simulator.gym_env import Scene, SlateEnv, SlateTask, SlateVectorEnv
from matinee_simulator.gym_env.memory import (
    PageCandidates,
    add_shown,
    add_shown_reference,
    fill_unit_rows,
    fill_unit_rows_reference,
    take_unshown,
    take_unshown_reference,
)
from matinee_simulator.parameters import Parameters
from matinee_simulator.simulation import Simulation

TASK = SlateTask(days=12, candidates=12, slots=4, watch_reward=0.5, return_reward=2.0)
LOYAL = Parameters(churn_base=-6.0, return_base=1.0)
MOVING = {"taste_drift": 0.3, "shock_rate": 0.5, "shock_size": 2.0, "season_amplitude": 0.8}


@pytest.fixture(scope="module")
def scene(dataset: Dataset) -> Scene:
    return Scene.from_dataset(dataset, seed=1)


@pytest.fixture(scope="module")
def build(scene: Scene) -> Callable[..., SlateEnv]:
    """Build an environment of one user; keywords change `TASK`."""

    def build(*, parameters: Parameters | None = None, **changes: Any) -> SlateEnv:
        task = dataclasses.replace(TASK, **changes)
        return SlateEnv(scene=scene, task=task, parameters=parameters)

    return build


def play(env: SlateEnv, *, seed: int, steps: int) -> list[Any]:
    """Everything that some steps under random scores return, resets included."""
    rng = np.random.default_rng(seed)
    out: list[Any] = [env.reset(seed=seed)]
    for _ in range(steps):
        out.append(env.step(rng.uniform(-1, 1, TASK.candidates).astype(np.float32)))
        if out[-1][2] or out[-1][3]:
            out.append(env.reset())
    return out


@pytest.mark.parametrize("skip", [True, False])
def test_the_checker_of_gymnasium_passes(build: Callable[..., SlateEnv], *, skip: bool) -> None:
    # It warns that an environment without a registered name cannot try render modes.
    check_env(build(parameters=LOYAL, skip_days_away=skip), skip_render_check=True)


def test_the_registered_names_make_environments(scene: Scene) -> None:
    with gymnasium.make("matinee/Slate-v0", scene=scene, task=TASK, parameters=LOYAL) as env:
        check_env(env.unwrapped)
    users = gymnasium.make_vec(
        "matinee/Slate-v0",
        num_envs=3,
        vectorization_mode=gymnasium.VectorizeMode.VECTOR_ENTRY_POINT,
        scene=scene,
        task=TASK,
    )
    assert isinstance(users.unwrapped, SlateVectorEnv)
    assert users.num_envs == 3


@pytest.mark.parametrize("skip", [True, False])
def test_equal_seeds_give_equal_episodes(build: Callable[..., SlateEnv], *, skip: bool) -> None:
    first, again, other = (
        play(build(skip_days_away=skip), seed=seed, steps=60) for seed in (5, 5, 6)
    )
    assert data_equivalence(first, again, exact=True)
    assert not data_equivalence(first, other)


@pytest.mark.parametrize("skip", [True, False])
def test_a_vector_is_its_single_environments(scene: Scene, *, skip: bool) -> None:
    """Observation, reward, ends and every entry of info, bit by bit, resets included."""
    task = dataclasses.replace(TASK, skip_days_away=skip)
    n = 7
    users = SlateVectorEnv(n, scene=scene, task=task)
    singles = SyncVectorEnv([lambda: SlateEnv(scene=scene, task=task)] * n)
    assert users.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert users.single_observation_space == singles.single_observation_space
    assert users.observation_space == singles.observation_space
    assert users.action_space == singles.action_space
    assert data_equivalence(users.reset(seed=3), singles.reset(seed=3), exact=True)
    rng, ends = np.random.default_rng(0), 0
    for _ in range(60):
        actions = rng.uniform(-1, 1, (n, task.candidates)).astype(np.float32)
        mine, theirs = users.step(actions), singles.step(actions)
        assert data_equivalence(mine, theirs, exact=True)
        assert mine[0] in users.observation_space
        ends += int((mine[2] | mine[3]).sum())
    assert ends > n
    assert data_equivalence(users.reset(), singles.reset(), exact=True)


@pytest.mark.parametrize("changes", [{}, MOVING], ids=["still", "moving"])
def test_the_users_are_those_of_the_simulation(scene: Scene, changes: dict[str, Any]) -> None:
    """Shown the same slates day by day, the same users click, watch, leave and return alike."""
    n, days = 20, 10
    parameters = Parameters(arrival_days=4, **changes)
    task = SlateTask(days=days, candidates=12, slots=4)
    env = SlateVectorEnv(n, scene=scene, task=task, parameters=parameters, seed=9)
    env.reset(seed=0, options={"user": np.arange(n)})
    rng, over = np.random.default_rng(1), np.zeros(n, dtype=np.bool_)
    told: list[list[Any]] = [[] for _ in range(n)]
    starts = dict.fromkeys(range(n), 0)
    while not over.all():
        before = env._stage.facts()["day"]  # Of the page that the step shows.
        _, _, terminated, truncated, info = env.step(rng.uniform(-1, 1, (n, 12)))
        for user in np.flatnonzero(~over):
            seen = [int(before[user]), info["items"][user].tolist(), info["clicks"][user].tolist()]
            told[user].append([*seen, info["watch"][user].tolist(), bool(info["left"][user])])
        over |= terminated | truncated
        # Places that are over would go on with new users: those are not looked at.
    simulation = Simulation(scene.world, np.arange(n), seed=9, parameters=parameters)
    lived: list[list[Any]] = [[] for _ in range(n)]
    for day in range(4 + days):
        units = simulation.begin_day(day)
        for unit in units[[not lived[unit] for unit in units]]:
            starts[int(unit)] = day
        units = units[[day < starts[int(unit)] + days for unit in units]]
        page = 0
        while units.size:
            pages = [told[unit][len(lived[unit])] for unit in units]
            slates = np.array([one[1] for one in pages], dtype=np.int32)
            feedback = simulation.step_page(units, slates, page)
            watch = np.where(feedback.clicks, feedback.watch, np.float32(0))
            for row, unit in enumerate(units):
                facts = [day - starts[int(unit)], slates[row].tolist()]
                facts += [feedback.clicks[row].tolist(), watch[row].tolist()]
                lived[unit].append([*facts, bool(feedback.left[row])])
            units, page = units[~feedback.left], page + 1
        simulation.end_day()
    assert lived == told
    assert max(len(pages) for pages in told) > 5


def test_a_catalogue_that_moves_is_refused(scene: Scene) -> None:
    for changes in ({"item_life_days": 30}, {"arriving_share": 0.2, "item_arrivals": 1.0}):
        with pytest.raises(ConfigError, match="arriving_share and item_life_days must be 0"):
            SlateVectorEnv(2, scene=scene, task=TASK, parameters=Parameters(**changes))


def test_observations_do_not_change_with_the_latent_state(scene: Scene) -> None:
    """Stocks, tastes and frailties are overwritten: only `info["oracle"]` tells."""
    env, touched = (SlateVectorEnv(6, scene=scene, task=TASK) for _ in range(2))
    env.reset(seed=2)
    touched.reset(seed=2)
    latent = touched._stage._visitors._state
    for name in ("goodwill", "satiation", "taste", "watch_bias", "return_frailty", "satisfaction"):
        getattr(latent, name)[:] += 3.0
    assert data_equivalence(env._stage.observe(), touched._stage.observe(), exact=True)
    facts, changed = env._stage.facts(), touched._stage.facts()
    assert not data_equivalence(facts.pop("oracle"), changed.pop("oracle"))
    assert data_equivalence(facts, changed, exact=True)


def test_observations_never_read_the_truth_about_items(scene: Scene) -> None:
    """With another truth, the same observed past gives the same first observation."""
    world = scene.world
    appeal = np.ascontiguousarray(world.appeal[::-1])
    other = dataclasses.replace(scene, world=dataclasses.replace(world, appeal=appeal))
    first, second = (SlateEnv(scene=one, task=TASK).reset(seed=4)[0] for one in (scene, other))
    assert data_equivalence(first, second, exact=True)


def test_the_best_scores_in_order_are_the_slate(build: Callable[..., SlateEnv]) -> None:
    env = build()
    env.reset(seed=1)
    ranked = env._stage._page.items[0].tolist()
    scores = np.zeros(TASK.candidates)
    scores[[7, 2]] = 0.5, 0.9
    info = env.step(scores)[4]
    # Ties go to the candidates that the source ranks higher.
    assert info["items"].tolist() == [ranked[2], ranked[7], ranked[0], ranked[1]]


def test_no_item_is_shown_twice_in_a_session_nor_after_it_was_watched(
    build: Callable[..., SlateEnv],
) -> None:
    env = build(days=60, parameters=LOYAL)
    env.reset(seed=1)
    rng, session, watched, pages = np.random.default_rng(0), set[int](), set[int](), 0
    over = False
    while not over:
        _, _, terminated, truncated, info = env.step(rng.uniform(-1, 1, TASK.candidates))
        items = info["items"].tolist()
        assert len(set(items)) == TASK.slots
        assert not set(items) & (session | watched)
        session = set() if info["left"] else session | set(items)
        watched |= set(info["items"][info["clicks"]].tolist())
        pages, over = pages + 1, terminated or truncated
    assert pages > 20
    assert watched


def test_the_reward_is_what_the_task_says(build: Callable[..., SlateEnv]) -> None:
    env = build(days=40, return_days=2)
    returns, late = 0, 0
    for user in range(12):
        env.reset(options={"user": user})
        over = False
        while not over:
            obs, reward, terminated, truncated, info = env.step(np.zeros(TASK.candidates))
            over = terminated or truncated
            back = bool(info["left"]) and obs["session"][5] == 1
            counted = back and info["days"] <= 2
            returns, late = returns + counted, late + (back and not counted)
            expected = info["clicks"].sum() + 0.5 * info["watch"].sum() + 2.0 * counted
            assert reward == pytest.approx(float(expected), abs=1e-6)
    assert min(returns, late) > 0


def test_episodes_are_truncated_after_the_days_and_terminate_at_churn(
    build: Callable[..., SlateEnv],
) -> None:
    stays = dataclasses.replace(LOYAL, churn_base=-50.0)
    for skip in (True, False):
        env = build(parameters=stays, skip_days_away=skip)
        info, passed, over = env.reset(seed=0)[1], 0, False
        assert info["day"] == 0
        while not over:
            _, _, terminated, over, info = env.step(np.zeros(TASK.candidates))
            assert not terminated
            assert skip or info["days"] <= 1
            passed += info["days"]
            assert info["day"] == passed
        assert passed == TASK.days
    env = build(parameters=dataclasses.replace(LOYAL, churn_base=50.0))
    env.reset(seed=0)
    over = False
    while not over:
        _, _, over, truncated, info = env.step(np.zeros(TASK.candidates))
        assert not truncated
        assert over == info["left"]
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(TASK.candidates))


def test_a_day_without_a_visit_shows_nothing(build: Callable[..., SlateEnv]) -> None:
    env = build(skip_days_away=False, days=60)
    away, over = 0, False
    obs, _ = env.reset(seed=1)
    while not over:
        visiting = obs["session"][5] == 1
        obs, reward, terminated, truncated, info = env.step(np.zeros(TASK.candidates))
        over = terminated or truncated
        if not visiting:
            away += 1
            assert info["items"].tolist() == [-1] * TASK.slots
            assert not info["clicks"].any()
            assert reward in (0.0, TASK.return_reward)
        if obs["session"][5] == 0:
            assert not obs["mask"].any()
            assert not obs["candidates"].any()
            assert not obs["genres"].any()
    assert away > 0


def test_users_can_be_named(scene: Scene, build: Callable[..., SlateEnv]) -> None:
    env = build()
    first = env.reset(options={"user": 17})
    assert first[1]["user"] == 17
    assert data_equivalence(first, env.reset(options={"user": 17}), exact=True)
    users = SlateVectorEnv(2, scene=scene, task=TASK)
    obs, info = users.reset(seed=[4, 9], options={"user": [3, 17]})
    assert info["user"].tolist() == [3, 17]
    assert data_equivalence({key: rows[1] for key, rows in obs.items()}, first[0], exact=True)


def test_a_catalogue_that_runs_out_pads_candidates(scene: Scene) -> None:
    n_items = scene.world.n_items
    task = SlateTask(candidates=n_items, slots=4, days=3)
    env = SlateEnv(scene=scene, task=task)
    for user in range(20):
        obs, _ = env.reset(options={"user": user})
        if not obs["mask"].all():
            break
    real = int(obs["mask"].sum())
    assert 0 < real < n_items
    assert not obs["candidates"][real:].any()
    scores = np.where(obs["mask"] == 1, -1.0, 1.0)
    assert (env.step(scores)[4]["items"] >= 0).all()


def test_what_cannot_be_is_refused(scene: Scene, build: Callable[..., SlateEnv]) -> None:
    env = build()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(TASK.candidates))
    env.reset(seed=0)
    for action in (np.full(TASK.candidates, np.nan), np.zeros(3), np.array(["a"])):
        with pytest.raises(ContextError, match="action must be"):
            env.step(action)
    with pytest.raises(ContextError, match="options has no 'who'"):
        env.reset(options={"who": 1})
    for user in (-1, 2**62, [1, 2], 0.5):
        with pytest.raises(ContextError, match="user"):
            env.reset(options={"user": user})
    for setting in ({"days": 0}, {"slots": 13}, {"click_reward": float("nan")}):
        with pytest.raises(ConfigError):
            build(**setting)
    with pytest.raises(ConfigError, match="candidates must be at most"):
        build(candidates=9_999)
    with pytest.raises(ConfigError, match="num_envs must be >= 1"):
        SlateVectorEnv(0, scene=scene)
    users = SlateVectorEnv(2, scene=scene, task=TASK)
    with pytest.raises(gymnasium.error.ResetNeeded):
        users.step(np.zeros((2, TASK.candidates)))
    with pytest.raises(ContextError, match="seed must hold 2 seeds, got 3"):
        users.reset(seed=[1, 2, 3])
    users.reset(seed=0)
    with pytest.raises(ContextError, match="actions must have shape"):
        users.step(np.zeros((3, TASK.candidates)))


def test_a_task_survives_json() -> None:
    assert SlateTask.from_json(json.loads(json.dumps(TASK.to_json()))) == TASK


def test_kernels_equal_their_plain_twins() -> None:
    rng = np.random.default_rng(0)
    places = np.array([4, 1, 3], dtype=np.int32)
    pool = np.tile(rng.permutation(30)[:9].astype(np.int32), (5, 1))
    shown = rng.random((5, 9)) < 0.5
    for k in (2, 6):
        out = PageCandidates(*(np.zeros((3, k), dtype=t) for t in ("i4", "f4", "i4")))
        take_unshown(places, pool, np.ones((5, 9), dtype=np.float32), shown, out)
        np.testing.assert_array_equal(out.items, take_unshown_reference(places, pool, shown, k))
    genres = rng.random((30, 4)).astype(np.float32)
    slates = rng.integers(-1, 30, (3, 5)).astype(np.int32)
    one, two = np.ones((2, 5, 4), dtype=np.float32)
    add_shown(places, slates, genres, one)
    add_shown_reference(places, slates, genres, two)
    np.testing.assert_allclose(one, two, rtol=1e-6)
    rows = np.vstack([genres, np.zeros((1, 4), dtype=np.float32)])
    unit = np.zeros_like(rows)
    fill_unit_rows(rows, unit)
    np.testing.assert_allclose(unit, fill_unit_rows_reference(rows), rtol=1e-6)


def test_the_simulator_does_not_need_gymnasium() -> None:
    code = (
        "import sys; sys.modules['gymnasium'] = None; import matinee_simulator, "
        "matinee_simulator.simulation, matinee_simulator.tabular; import matinee_simulator.gym_env"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("pip install 'matinee[gym]'")
