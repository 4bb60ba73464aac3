"""Read the next studies in a thread while the engine works on this one.

Decoding a compressed radiograph takes as long as scoring it: over a list, the time is then that of the
slower of the two, and not their sum.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

from ..errors import StudyError

Item = TypeVar("Item")
Read = TypeVar("Read")

AHEAD = 2  # studies read beyond the one in use: evens out a large one, and bounds the memory


class ReadAhead(Generic[Item, Read], Iterator[Read]):
    """Iterate over what `read` makes of each item, in order, `ahead` of them read in advance by one thread.

    An exception of `read` is raised when the item's turn comes, and the next turn goes on with the next
    item. Use it in a `with` statement, or call `close`: the thread ends there at the latest.
    """

    def __init__(self, items: Iterable[Item], read: Callable[[Item], Read], ahead: int = AHEAD) -> None:
        """Start reading when the first item is asked for. Raises StudyError for what cannot be gone through."""
        try:
            self._items = iter(items)
        except TypeError as error:
            raise StudyError("a study is given as a path, a Study or its embedding: one, or a list of them") from error
        self._read = read
        self._ahead = ahead
        self._waiting: deque[Future[Read]] = deque()
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="alta-read-ahead")

    def __next__(self) -> Read:
        """Return what was read of the next item, or raise what reading it raised."""
        self._fill(self._ahead + 1)
        if not self._waiting:
            self.close()
            raise StopIteration
        return self._waiting.popleft().result()

    def _fill(self, count: int) -> None:
        while len(self._waiting) < count:
            try:
                item = next(self._items)
            except StopIteration:
                return
            self._waiting.append(self._reader.submit(self._read, item))

    def close(self) -> None:
        """Stop reading: what has not begun is dropped, what has is waited for."""
        self._items = iter(())
        self._waiting.clear()
        self._reader.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop reading."""
        self.close()
