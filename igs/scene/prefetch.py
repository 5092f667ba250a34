"""Run an iterator ahead of its consumer, a bounded number of items, in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
_PATIENCE = 0.1


@dataclass
class _Item(Generic[T]):
    value: T


@dataclass
class _End:
    error: BaseException | None


def prefetched(make: Callable[[], Iterator[T]], depth: int) -> Iterator[T]:
    """Yield what ``make()`` yields, produced up to `depth` items ahead in a background thread.

    Besides the `depth` items that wait, one more may be in the making. The thread ends, and the
    inner iterator is closed, when the sequence ends, when this iterator is closed or dropped, or
    on an error, which is raised here in the place of the item that failed.

    Args:
        make: starts the inner iterator; it is called and used in the background thread only.
        depth: items to hold ready; 0 runs without a thread.

    Raises:
        ValueError: a negative depth.
    """
    if depth < 0:
        raise ValueError(f"prefetch depth {depth} must not be negative")
    return make() if depth == 0 else _pull(make, depth)


def _pull(make: Callable[[], Iterator[T]], depth: int) -> Iterator[T]:
    items: queue.Queue[_Item[T] | _End] = queue.Queue(depth)
    stop = threading.Event()
    thread = threading.Thread(
        target=_produce, args=(make, items, stop), name="igs-prefetch", daemon=True
    )
    thread.start()
    try:
        while True:
            got = items.get()
            if isinstance(got, _End):
                if got.error is not None:
                    raise got.error
                return
            yield got.value
            del got  # or the item just used would stay alive while the next one is awaited
    finally:
        stop.set()
        thread.join()


def _produce(
    make: Callable[[], Iterator[T]], items: queue.Queue[_Item[T] | _End], stop: threading.Event
) -> None:
    error: BaseException | None = None
    inner: Iterator[T] | None = None
    try:
        inner = make()
        for value in inner:
            _offer(items, _Item(value), stop)
            if stop.is_set():
                break
    except BaseException as caught:  # handed over to the consumer, whatever it is
        error = caught
    finally:
        close = getattr(inner, "close", None)
        if close is not None:
            close()
    _offer(items, _End(error), stop)


def _offer(
    items: queue.Queue[_Item[T] | _End], item: _Item[T] | _End, stop: threading.Event
) -> None:
    while not stop.is_set():
        try:
            items.put(item, timeout=_PATIENCE)
        except queue.Full:
            continue
        return
