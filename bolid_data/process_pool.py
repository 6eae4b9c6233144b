"""Processes that share the cores for drawing."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from threading import Thread

import cv2
import numpy as np  # noqa: F401  # loads the library whose threads are limited
from threadpoolctl import threadpool_limits


def drawing_pool(processes: int) -> ProcessPoolExecutor:
    """A pool of processes of one thread each. NumPy and OpenCV would start a thread for every core in each of them, and
    these wait for each other most of the time."""
    # Spawned, not forked: the caller may have threads.
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _prepare)


def _prepare() -> None:
    threadpool_limits(1)
    cv2.setNumThreads(1)
    Thread(target=_end_with_owner, daemon=True).start()


def _end_with_owner() -> None:
    """Ends this process when the one that draws is killed: its executor would wait for work for ever."""
    owner = multiprocessing.parent_process()
    assert owner
    owner.join()
    os._exit(1)
