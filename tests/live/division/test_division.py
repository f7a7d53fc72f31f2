"""Who counts which camera, over many watchers, cameras, faults and hours of virtual time."""

import os
from collections import Counter

import pytest

from crowdserve.live.division.ranking import winner
from tests.live.division.simulation import Faults, Machine, World

CAMERAS = tuple(f"camera-{number}" for number in range(1000))
IS_LONG = bool(os.environ.get("CROWDSERVE_LIVE_TEST"))
"""Whether `make live-test` runs: then more is tried."""


def world_of(watchers: int, seed: int = 0, faults: Faults | None = None, cameras: tuple[str, ...] = CAMERAS) -> World:
    world = World(seed, faults)
    for number in range(watchers):
        world.join(f"watcher-{number}", cameras)
    return world


def owners(world: World, cameras: tuple[str, ...] = CAMERAS) -> dict[str, str]:
    """The one watcher of each camera."""
    found = {camera: world.counting(camera) for camera in cameras}
    assert {camera: len(each) for camera, each in found.items() if len(each) != 1} == {}
    return {camera: each[0].name for camera, each in found.items()}


def gap(world: World, camera: str) -> float:
    """Seconds for which nobody watched a camera that has changed hands once."""
    shifts = sorted((s for m in world.machines for s in m.shifts.get(camera, [])), key=lambda shift: shift.begin)
    last, first = shifts[-1], shifts[-2]
    return last.begin - (first.end if first.end is not None else last.begin)


def test_every_camera_has_the_watcher_that_the_hash_says_and_loads_are_alike() -> None:
    world = world_of(10)
    world.run(60)
    names = tuple(sorted(machine.name for machine in world.machines))
    found = owners(world)
    assert found == {camera: winner(camera, names) for camera in CAMERAS}
    loads = Counter(found.values())
    assert 70 < min(loads.values()) <= max(loads.values()) < 130  # a binomial: 100 ± 3 times 9.5


@pytest.mark.parametrize("seed", range(5 if IS_LONG else 2))
def test_cameras_of_a_dead_watcher_are_taken_over_within_half_a_minute_and_no_others_move(seed: int) -> None:
    world = world_of(5, seed)
    world.run(60 + seed)
    before, dead = owners(world), world.machines[seed]
    dead.kill()
    world.run(world.now + 10)
    assert not any(world.counting(camera) for camera, name in before.items() if name == dead.name)
    world.run(world.now + 20)
    after = owners(world)
    assert {camera for camera in CAMERAS if after[camera] != before[camera]} == {
        camera for camera, name in before.items() if name == dead.name
    }


def test_a_watcher_that_stops_hands_over_at_once() -> None:
    world = world_of(4)
    world.run(60)
    before, leaver = owners(world), world.machines[2]
    leaver.leave()
    world.run(world.now + 10)
    after = owners(world)
    moved = [camera for camera in CAMERAS if after[camera] != before[camera]]
    assert set(moved) == {camera for camera, name in before.items() if name == leaver.name}
    assert max(gap(world, camera) for camera in moved) < 9


def test_a_watcher_that_comes_takes_its_share_and_nothing_else_moves() -> None:
    world = world_of(4)
    world.run(60)
    before = owners(world)
    world.join("watcher-9", CAMERAS)
    world.run(world.now + 30)
    after = owners(world)
    moved = [camera for camera in CAMERAS if after[camera] != before[camera]]
    assert {after[camera] for camera in moved} == {"watcher-9"}
    assert 150 < len(moved) < 250
    assert max(gap(world, camera) for camera in moved) < 9


def test_without_the_api_server_nobody_counts_twice_and_all_go_on_when_it_is_back() -> None:
    world = world_of(4)
    world.run(60)
    before = owners(world)
    world.is_away = True
    world.run(world.now + 11)
    assert not any(world.counting(camera) for camera in CAMERAS)
    world.run(world.now + 300)
    world.is_away = False
    world.run(world.now + 20)
    assert owners(world) == before
    assert world.server.objects  # nothing was made anew


def test_a_short_absence_of_the_api_server_stops_nothing() -> None:
    world = world_of(4)
    world.run(60)
    world.is_away = True
    world.run(world.now + 3)
    world.is_away = False
    world.run(world.now + 10)
    assert all(len(machine.shifts[camera]) == 1 for machine in world.machines for camera in machine.member.held)


def test_a_watcher_that_was_frozen_knows_that_its_time_is_over() -> None:
    world = world_of(3)
    world.run(60)
    frozen = world.machines[0]
    held = frozen.member.held
    frozen.frozen_until = world.now + 45
    world.run(world.now + 44)
    assert not any(frozen.member.holds(camera) for camera in held)  # what runs first when it wakes up
    assert len(owners(world)) == len(CAMERAS)
    world.run(world.now + 30)
    assert set(frozen.member.held) == set(held)
    assert len(owners(world)) == len(CAMERAS)


def test_renewals_do_not_grow_with_the_cameras() -> None:
    world = world_of(10)
    world.run(60)
    before = world.server.writes
    world.run(world.now + 120)
    assert (world.server.writes - before) / 120 < 10 / 3.7  # a write for each watcher's renewal


@pytest.mark.parametrize("seed", range(60 if IS_LONG else 6))
def test_whatever_happens_no_camera_has_two_watchers_and_in_the_end_each_has_one(seed: int) -> None:
    """Requests that are lost, that take effect late, answers that are; kills, freezes, partitions, joins, outages."""
    cameras = CAMERAS[:150]
    world = world_of(5, seed, Faults(lost=0.03, unanswered=0.03, late=0.03, frozen=0.005), cameras)
    for number in range(25):
        world.run(world.now + world.random.uniform(0, 30))
        _something_happens(world, number, cameras)
    for machine in world.machines:
        machine.is_cut = False
    world.is_away, world.faults = False, Faults()
    world.run(world.now + 150)
    names = tuple(sorted(machine.name for machine in world.alive()))
    assert owners(world, cameras) == {camera: winner(camera, names) for camera in cameras}


def _something_happens(world: World, number: int, cameras: tuple[str, ...]) -> None:
    machine: Machine = world.random.choice(world.alive())
    what = world.random.choice(["kill", "join", "restart", "cut", "cut", "heal", "freeze", "freeze", "away", "back"])
    if what == "kill" and len(world.alive()) > 2:
        machine.kill()
    elif what == "join" and len(world.alive()) < 8:
        world.join(f"later-{number}", cameras)
    elif what == "restart":
        machine.kill()
        world.join(machine.name, cameras)
    elif what == "freeze":
        machine.frozen_until = world.now + world.random.uniform(1, 60)
    elif what in {"cut", "heal"}:
        machine.is_cut = what == "cut"
    else:
        world.is_away = what == "away"
