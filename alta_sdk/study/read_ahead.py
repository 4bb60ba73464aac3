"""Read the next studies in threads while the engine works on this one.

Decoding a compressed radiograph takes as long as scoring it, or several times as long: over a list, the time is then
that of the processors together, and not the sum of one after the other. Each reader decodes one image at a time, in a
worker process of its own (`dicom/decoding.py`).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

from ..dicom.decoding import count_workers, share_processors
from ..errors import StudyError

Item = TypeVar("Item")
Read = TypeVar("Read")

AHEAD = 2  # studies read beyond the one in use, and one for each further reader: evens out a large one, bounds memory


class ReadAhead(Generic[Item, Read], Iterator[Read]):
    """Iterate over what `read` makes of each item, in order, some of them read in advance by several threads.

    An exception of `read` is raised when the item's turn comes, and the next turn goes on with the next
    item. Use it in a `with` statement, or call `close`: the threads end there at the latest.
    """

    def __init__(
        self,
        items: Iterable[Item],
        read: Callable[[Item], Read],
        *,
        readers: int | None = None,
        together: int = 1,
    ) -> None:
        """Start reading when the first item is asked for. Raises StudyError for what cannot be gone through.

        read: called by `readers` threads at once; None takes one for each worker process that may decode, and no more
        than there are items. together: how many items are worked on at once, the others are read meanwhile.
        """
        try:
            self._items = iter(items)
        except TypeError as error:
            raise StudyError("a study is given as a path, a Study or its embedding: one, or a list of them") from error
        most = count_workers() if readers is None else readers
        self.readers = max(1, min(most, len(items))) if isinstance(items, Sized) else most
        self.ahead = AHEAD + self.readers - 1 + together - 1
        self._read = read
        self._waiting: deque[Future[Read]] = deque()
        self._pool = ThreadPoolExecutor(
            self.readers, "alta-read-ahead", initializer=share_processors, initargs=(self.readers,)
        )

    def __next__(self) -> Read:
        """Return what was read of the next item, or raise what reading it raised."""
        self._fill(self.ahead + 1)
        if not self._waiting:
            self.close()
            raise StopIteration
        return self._waiting.popleft().result()

    def peek_ready(self, most: int) -> list[Read]:
        """Return what was read of the items that come next, which stay there: no more than `most`, without waiting.

        It ends before the first that is not read yet, or that could not be read.
        """
        ready: list[Read] = []
        for future in list(self._waiting)[:most]:
            if not future.done() or future.exception() is not None:
                break
            ready.append(future.result())
        return ready

    def _fill(self, count: int) -> None:
        while len(self._waiting) < count:
            try:
                item = next(self._items)
            except StopIteration:
                return
            self._waiting.append(self._pool.submit(self._read, item))

    def close(self) -> None:
        """Stop reading: what has not begun is dropped, what has is waited for."""
        self._items = iter(())
        self._waiting.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop reading."""
        self.close()
