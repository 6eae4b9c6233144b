"""Processes that share the cores for drawing."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import cv2
import numpy as np  # noqa: F401  # loads the library whose threads are limited
from threadpoolctl import threadpool_limits


def drawing_pool(processes: int) -> ProcessPoolExecutor:
    """A pool of processes of one thread each. NumPy and OpenCV would start a thread for every core in each of them, and
    these wait for each other most of the time."""
    # Spawned, not forked: the caller may have threads.
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _use_one_thread)


def _use_one_thread() -> None:
    threadpool_limits(1)
    cv2.setNumThreads(1)
