"""The contention figures: shares from counters, and a real neighbour."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import pytest
import torch
from assay import contention
from assay.contention import Neighbour, Process, Reading


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


@pytest.mark.parametrize(
    ("folder", "text"),
    [
        ("", "usage_usec 9\nnr_throttled 3\nthrottled_usec 2500000\n"),
        ("cpu/", "nr_periods 7\nnr_throttled 3\nthrottled_time 2500000000\n"),
    ],
)
def test_a_quota_of_our_own_is_named_as_what_it_is(tmp_path, folder, text):
    group = tmp_path / f"groups/{folder}pod"
    group.mkdir(parents=True)
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("0::/pod\n" if not folder else "3:cpu:/pod\n")
    stat = group / "cpu.stat"
    stat.write_text(text)
    assert contention._throttled(tmp_path, tmp_path / "groups") == 2.5
    before = {0: Process(contention.QUOTA, 0, 0, 2.5)}
    after = {0: Process(contention.QUOTA, 0, 0, 5.5)}
    [seen] = contention.neighbours(before, after, wall_s=10.0, proc=tmp_path)
    assert seen == Neighbour("this container's own CPU quota", pytest.approx(0.3))
    stat.write_text("nr_periods 0\n")
    assert contention._throttled(tmp_path, tmp_path / "groups") is None


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


# ---- thread by thread ----------------------------------------------------------------------------


def test_the_longest_wait_of_any_thread_counts():
    """Threads of a product wait for each other: the mean of many would hide the one that waits."""
    before, after = {"1": 0, "2": 10}, {"1": 5_000_000, "2": 10, "3": 7_000_000}
    assert contention.longest_wait(before, after) == pytest.approx(7e-3)
    assert contention.longest_wait(after, after) == 0
    assert contention.longest_wait(None, after) is None


def test_waits_are_unknown_where_the_system_hides_them(tmp_path):
    with contention.waits(tmp_path) as hidden:
        assert hidden.read() is None
    (tmp_path / "self/task/1").mkdir(parents=True)
    with contention.waits(tmp_path) as hidden:
        assert hidden.read() is None


def test_a_thread_that_ends_keeps_what_it_waited(tmp_path):
    task = tmp_path / "self/task/7"
    task.mkdir(parents=True)
    (task / "schedstat").write_text("1 2000 3\n")
    with contention.waits(tmp_path) as waits:
        assert waits.read() == {"7": 2000}
        (task / "schedstat").unlink()
        task.rmdir()
        assert waits.read() == {"7": 2000}


def test_every_thread_of_this_process_is_read():
    with contention.waits() as waits:
        if waits.read() is None:
            pytest.skip("this system hides the run-queue delay")
        stop = threading.Event()
        other = threading.Thread(target=stop.wait)
        other.start()
        assert str(other.native_id) in waits.read()
        stop.set()
        other.join()
        assert waits.read() is not None


# ---- neighbours ----------------------------------------------------------------------------------


def machine(own, spent):
    """A Snakemake with this job, another one and a child of ours, beside a browser."""
    parents = {1: 0, 10: 1, 11: 10, own: 11, 12: own, 20: 10, 21: 20, 30: 1}
    names = {1: "init", 10: "python", 11: "bash", own: "python", 12: "python"}
    names |= {20: "bash", 21: "python", 30: "browser"}
    return {
        pid: Process(names[pid], parent, started=1, cpu_s=spent.get(pid, 0.0))
        for pid, parent in parents.items()
    }


def test_neighbours_are_named_and_ours_among_them(tmp_path):
    (tmp_path / "10").mkdir()
    (tmp_path / "10/cmdline").write_bytes(b"python\0-m\0snakemake\0--cores\x004\0")
    own = os.getpid()
    before = machine(own, {})
    after = machine(own, {10: 1.2, own: 20.0, 12: 5.0, 21: 3.0, 30: 6.0, 1: 0.01})
    assert contention.neighbours(before, after, wall_s=10.0, proc=tmp_path) == [
        Neighbour("browser", pytest.approx(0.6)),
        Neighbour("another job of this run", pytest.approx(0.3)),
        Neighbour("snakemake", pytest.approx(0.12)),
    ]


def test_a_new_process_with_an_old_number_has_no_past(tmp_path):
    before = {30: Process("old", 1, started=1, cpu_s=100.0)}
    after = {30: Process("new", 1, started=2, cpu_s=1.0)}
    seen = contention.neighbours(before, after, wall_s=2.0, proc=tmp_path)
    assert seen == [Neighbour("new", pytest.approx(0.5))]


def test_a_real_neighbour_is_named():
    # Its parent ends, as a daemon's does: children of this process are no neighbours.
    code = (
        "import subprocess, sys\n"
        "forever, nothing = [sys.executable, '-c', 'while True: pass'], subprocess.DEVNULL\n"
        "print(subprocess.Popen(forever, stdout=nothing, stderr=nothing).pid)"
    )
    launch = [sys.executable, "-c", code]
    done = subprocess.run(launch, capture_output=True, text=True, check=True)
    pid = int(done.stdout)
    try:
        before = contention.processes()
        if pid not in before:
            pytest.skip("this system hides processes")
        start = time.perf_counter()
        time.sleep(1)
        seen = contention.neighbours(before, contention.processes(), time.perf_counter() - start)
        assert any(each.name.startswith("python") and each.cores > 0.1 for each in seen)
    finally:
        os.kill(pid, 9)


def test_a_name_may_hold_brackets_and_spaces(tmp_path):
    (tmp_path / "5").mkdir()
    fields = " ".join(["S", "1", *["0"] * 9, "100", "50", *["0"] * 6, "777"])
    (tmp_path / "5/stat").write_text(f"5 (a ) (b) c) {fields}\n")
    (tmp_path / "6").mkdir()  # ended meanwhile
    seen = contention.processes(tmp_path)
    assert list(seen) == [5]
    assert (seen[5].name, seen[5].started) == ("a ) (b) c", 777)


# ---- others, whoever they are --------------------------------------------------------------------


def machine_did(tmp_path, busy_s):
    """What a made-up machine's CPUs did, one of which is not ours."""
    cpus, ticks = sorted(os.sched_getaffinity(0)), round(busy_s * os.sysconf("SC_CLK_TCK"))
    rows = [f"cpu{cpu} {ticks} 0 0 900 70 0 0 5000 0 0" for cpu in cpus]
    (tmp_path / "stat").write_text("\n".join(["cpu 1 2 3", *rows, "cpu9999 700 0 0 1 0 0 0 0", ""]))
    return len(cpus)


@pytest.mark.parametrize(("ended", "share"), [(3.0, 0.0), (0.0, 0.3)])
def test_children_that_lived_between_two_looks_are_ours_and_others_are_not(tmp_path, ended, share):
    """Both were seen by nobody; the CPUs were busy, and what our children took is in our books."""
    own, cpus = os.getpid(), machine_did(tmp_path, 0.5)
    quiet = {own: Process("python", 1, 1, 0.5 * cpus)}
    busy = {own: Process("python", 1, 1, 0.5 * cpus, ended_s=ended * cpus)}
    before = contention.Look(0.0, quiet, contention._others_s(quiet, tmp_path))
    machine_did(tmp_path, 3.5)
    later = contention.Look(10.0, busy, contention._others_s(busy, tmp_path))
    assert contention.others_share(before, later) == pytest.approx(share)


def test_where_the_cpus_are_hidden_others_are_unknown(tmp_path):
    before = contention.look(tmp_path)
    assert contention.others_share(before, contention.look(tmp_path)) is None


BURN = "import time\nwhile time.process_time() < 0.3: pass"


@pytest.mark.parametrize("ours", [True, False])
def test_a_process_that_burns_cpu_within_a_trial_is_a_neighbour_unless_it_is_ours(ours):
    """Others only add to what others took: this bounds our own part from both sides."""

    def books():
        seen = contention.look()
        if seen.others_s is None:
            pytest.skip("this system hides what its CPUs did")
        mine = seen.processes[os.getpid()]
        return mine.cpu_s + mine.ended_s, seen.others_s * len(os.sched_getaffinity(0))

    before = books()
    if ours:
        subprocess.run([sys.executable, "-c", BURN], check=True)
    else:  # its parent ends first, so that it is nobody's child
        leave = f"import os\nif os.fork(): os._exit(0)\nos.setsid()\n{BURN}"
        done = subprocess.run([sys.executable, "-c", leave], stdout=subprocess.PIPE, check=True)
        assert not done.stdout  # read to its end, which is that of the last who holds it
    mine, others = (b - a for a, b in zip(before, books(), strict=True))
    if ours:
        assert mine > 0.28  # the system counts in ticks of 10 ms
    else:
        assert mine < 0.2
        assert others > 0.2
