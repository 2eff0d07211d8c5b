"""The contention figures: shares from counters, and a real neighbour."""

import multiprocessing
import time

import pytest
import torch
from assay import contention
from assay.contention import Reading


def reading(wall=0.0, cpu=0.0, delay=0.0, pressure=0.0, steal=0.0):
    return Reading(wall, cpu, delay, pressure, steal)


def test_shares_by_hand():
    seen = contention.between(reading(), reading(wall=10, cpu=15, delay=5, pressure=2), threads=2)
    assert seen.delay_share == pytest.approx(0.25)
    assert seen.cpu_per_thread == pytest.approx(0.75)
    assert seen.pressure_share == pytest.approx(0.2)
    assert seen.steal_share == 0


def test_what_the_system_hides_is_unknown(tmp_path):
    hidden = contention.read(tmp_path)
    assert (hidden.delay_s, hidden.pressure_s, hidden.steal_s) == (None, None, None)
    seen = contention.between(hidden, contention.read(tmp_path), threads=1)
    assert seen.delay_share is None


def test_counters_are_read_from_proc(tmp_path):
    (tmp_path / "self/task/1").mkdir(parents=True)
    (tmp_path / "self/task/1/schedstat").write_text("100 2000000000 3\n")
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure/cpu").write_text(
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=3000000\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    )
    (tmp_path / "stat").write_text("cpu  1 2 3 4 5 6 7 800 9 10\n")
    seen = contention.read(tmp_path)
    assert (seen.delay_s, seen.pressure_s) == (2.0, 3.0)
    assert seen.steal_s > 0


def spin(stop):
    while not stop.is_set():
        sum(range(10_000))


def test_a_busy_neighbour_on_every_core_shows_as_run_queue_delay():
    if contention.read().delay_s is None:
        pytest.skip("this system hides the run-queue delay")
    a = torch.randn(512, 512)

    def delay_share() -> float:
        before, end = contention.read(), time.perf_counter() + 0.7
        while time.perf_counter() < end:
            a @ a
        seen = contention.between(before, contention.read(), torch.get_num_threads())
        assert seen.delay_share is not None
        return seen.delay_share

    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    neighbours = [
        context.Process(target=spin, args=(stop,)) for _ in range(multiprocessing.cpu_count())
    ]
    for each in neighbours:
        each.start()
    time.sleep(1.0)
    try:
        assert delay_share() > 0.05
    finally:
        stop.set()
        for each in neighbours:
            each.join()
