"""multiprocessing where one process is all there is: its locks are those of threads.

Its own locks are semaphores of the system, kept in a folder that all users share, which no program here can
write to. `multiprocessing.pool.ThreadPool` and `multiprocessing.Queue` need them and start no process.
"""

import multiprocessing
import multiprocessing.context
import threading
from typing import Any

_PRIMITIVES: dict[str, Any] = {
    "Lock": threading.Lock,
    "RLock": threading.RLock,
    "Condition": threading.Condition,
    "Semaphore": threading.Semaphore,
    "BoundedSemaphore": threading.BoundedSemaphore,
    "Event": threading.Event,
    "Barrier": threading.Barrier,
}


def use_locks_of_threads() -> None:
    """Before the fork: holds for all contexts, those of `get_context` too."""
    for name, primitive in _PRIMITIVES.items():
        setattr(multiprocessing.context.BaseContext, name, _method(primitive))
        setattr(multiprocessing, name, primitive)  # the package has the methods of its first context


def _method(primitive: Any) -> Any:
    def make(_: object, *arguments: Any, **options: Any) -> Any:
        return primitive(*arguments, **options)

    return make
