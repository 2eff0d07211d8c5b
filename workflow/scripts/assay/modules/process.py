"""Processes of a job's own: where nothing was imported before, or where something is killed.

On a CPU they are forked: such a process has imported what the job has, torch and this library,
and none of the code that an experiment writes. An accelerator cannot be used on both sides of a
fork, so there they start as interpreters of their own, which takes seconds each.

They compute with one thread: the others of a pool are lost in a fork, and OpenMP would wait for
them without end.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE_S = 120  # seconds that a victim may stay silent


def context(device_type: str) -> BaseContext:
    """How a process that uses such a device is started: forked for ``cpu``, else anew."""
    return multiprocessing.get_context("fork" if device_type == "cpu" else "spawn")


def call(how: BaseContext, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a function of a module returns in a process of its own, which then ends.

    Args:
        how: From :func:`context`.
        function: The function; what it returns must be picklable.
        args: Its arguments, picklable.
        kwargs: Its named arguments.

    Raises:
        concurrent.futures.process.BrokenProcessPool: The process died.
        Exception: Whatever the function raised.
    """
    with ProcessPoolExecutor(1, mp_context=how) as pool:
        return pool.submit(_alone, function, args, kwargs).result()


def _alone(function: Callable[..., T], args: Any, kwargs: Any) -> T:
    """Call a function on one thread of a process that was just started."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    return function(*args, **kwargs)


@contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder that is gone afterwards, even if this process is killed with SIGKILL.

    A shell waits for the end of its input, which comes when this process and those it forked are
    gone, however they went, and then removes the folder.
    """
    with tempfile.TemporaryDirectory(prefix="torch-assay-", ignore_cleanup_errors=True) as name:
        guard = subprocess.Popen(
            ["sh", "-c", 'read -r _; rm -rf -- "$0"', name],
            stdin=subprocess.PIPE,
            start_new_session=True,  # so that a signal to the whole job does not reach it
        )
        try:
            yield Path(name)
        finally:
            guard.communicate()


@contextmanager
def victim(
    how: BaseContext, work: Callable[..., None], *arguments: object
) -> Iterator[Callable[[], object]]:
    """Start a process that works without end, and kill it with SIGKILL when the block is left.

    Args:
        how: From :func:`context`.
        work: A function of a module. It gets a connection to send on, then the arguments, and
            must go on no longer than :func:`orphaned` is false.
        arguments: Picklable.

    Yields:
        What waits for the next thing that the process sends, and returns it.

    Raises:
        RuntimeError: The process ended by itself, or stayed silent for two minutes.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    # Every kind of context can start processes; the base class in the stubs cannot.
    process = how.Process(  # type: ignore[attr-defined]
        target=_alone, args=(work, (sender, *arguments), {})
    )
    process.start()
    sender.close()  # now only the victim holds it, and its end is seen here
    try:
        yield lambda: _next(receiver)
    finally:
        process.kill()
        process.join()
        receiver.close()
    if process.exitcode != -9:
        raise RuntimeError(f"the process was not killed, it ended with code {process.exitcode}")


def _next(receiver: Connection) -> object:
    try:
        if receiver.poll(PATIENCE_S):
            return receiver.recv()
    except EOFError:
        raise RuntimeError("the process ended before it was killed") from None
    raise RuntimeError(f"the process said nothing for {PATIENCE_S} s")


def orphaned(parent: int) -> bool:
    """Whether the process that started this one is gone."""
    return os.getppid() != parent
