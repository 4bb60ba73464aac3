"""Small pictures of what was scored, for a page: JPEGs, and together no more than a page may weigh.

They are the radiographs' own pixels, with whatever text is burned into them: only a caller who asks for them gets any.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from ..study.slots import Slot
from ..study.study import Study

LONGER_PX = 144
QUALITY = 70
MAX_BYTES = 8 << 20  # of all radiographs of a page, as it holds them
MAX_MAP_BYTES = 32 << 20  # of all its heat maps


@dataclass(frozen=True)
class SmallPicture:
    """The radiograph of one slot: its size in pixels, and a JPEG as an address that holds it."""

    slot: str
    width: int
    height: int
    source: str


def make_small_pictures(study: Study, slots: Sequence[str]) -> list[SmallPicture]:
    """Shrink the radiographs of some slots, named as provenance names them."""
    return [_shrink(study, Slot[name.upper()]) for name in slots]


def _shrink(study: Study, slot: Slot) -> SmallPicture:
    picture = Image.fromarray(study.radiographs[slot].grey_u8)
    picture.thumbnail((LONGER_PX, LONGER_PX), reducing_gap=2.0)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=QUALITY)
    source = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return SmallPicture(slot.name.lower(), *picture.size, source)


@dataclass
class Room:
    """How many bytes of pictures a page takes yet; studies: the numbers of those whose pictures it had no room for."""

    left: int
    studies: set[int] = field(default_factory=set)

    def take(self, sources: Sequence[str], study: int) -> bool:
        """Take a study's pictures, or say that they do not fit; after one that did not, none does."""
        size = sum(map(len, sources))
        if not self.studies and size <= self.left:
            self.left -= size
            return True
        self.studies.add(study)
        return False
