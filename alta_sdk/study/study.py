"""A study: up to four radiographs, each in its slot, valid once constructed.

Radiographs are decoded when the study is made, so that a damaged file is refused here and not in the
middle of a run.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..dicom.files import Source, read_files
from ..dicom.intensity import PUBLISHED, GreyOptions
from ..dicom.view_words import View
from ..errors import StudyError, ViewError
from .examination import SAME_UID, Examination, ReadOptions, SetAside, read_examinations
from .priors import list_priors, pick_prior, split_current
from .radiograph import ImageSource, Radiograph, decode_radiograph, read_picture
from .slots import CURRENT_SLOTS, PRIOR_SLOTS, Slot, select_images

SAME_PICTURE = "its pixels are those of a radiograph of the other study: one of the two is not what it says"


@dataclass(frozen=True, eq=False)
class Study:
    """Radiographs by slot; the current frontal is always there. What was found beside them is set aside."""

    radiographs: Mapping[Slot, Radiograph]
    set_aside: tuple[SetAside, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a study without a current frontal radiograph (ViewError)."""
        if Slot.FRONTAL not in self.radiographs:
            raise ViewError("study has no current frontal radiograph: the model cannot score it")
        ordered = {slot: self.radiographs[slot] for slot in Slot if slot in self.radiographs}
        object.__setattr__(self, "radiographs", MappingProxyType(ordered))

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled or copied: a read-only view of a mapping cannot be."""
        return {**vars(self), "radiographs": dict(self.radiographs)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what was pickled or copied, read-only as before."""
        vars(self).update(state, radiographs=MappingProxyType(state["radiographs"]))

    def __eq__(self, other: object) -> bool:
        """True for a study of the same radiographs in the same slots, with the same set aside."""
        return isinstance(other, Study) and self.__getstate__() == other.__getstate__()

    def __hash__(self) -> int:
        """Equal studies have equal hashes."""
        return hash((tuple(self.radiographs.items()), self.set_aside))

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots that are filled, in the model's order."""
        return tuple(self.radiographs)

    def read_notes(self, slots: Sequence[Slot]) -> list[str]:
        """Return what a user must be told of these slots' radiographs and how they were read, each with its slot."""
        told = {
            slot: (*self.radiographs[slot].notices, *self.radiographs[slot].judgement.doubts, *self._tell_repeat(slot))
            for slot in slots
        }
        notes = [f"{slot.name.lower()}: {note}" for slot, notices in told.items() for note in notices]
        unread = sum(item.is_unread for item in self.set_aside)
        return [*notes, f"{unread} files or folders of it could not be read and are missing"] if unread else notes

    def _tell_repeat(self, slot: Slot) -> tuple[str, ...]:
        """Return what makes it doubtful that a radiograph is another one than each of the other study."""
        own, facing = self.radiographs[slot], PRIOR_SLOTS if slot in CURRENT_SLOTS else CURRENT_SLOTS
        others = [self.radiographs[one] for one in facing if one in self.radiographs]
        if any(own.is_same_picture(other) for other in others):
            return (SAME_PICTURE,)
        is_untold = SAME_UID not in own.notices and any(own.has_same_uid(other) for other in others)
        return (SAME_UID,) if is_untold else ()

    def take_prior(self) -> "Study":
        """Return the prior as a study of its own, in the current slots; raise ViewError if there is none."""
        if Slot.PRIOR_FRONTAL not in self.radiographs:
            raise ViewError("study has no prior with a usable frontal radiograph: give an earlier study")
        moved = zip(CURRENT_SLOTS, PRIOR_SLOTS, strict=True)
        return Study({slot: self.radiographs[prior] for slot, prior in moved if prior in self.radiographs})

    def explain(self) -> dict[str, Any]:
        """Say what decided: for each slot the view, its source and confidence, and what was set aside and why.

        Plain types, ready for JSON, without an identifier or a header's free text.
        """
        slots = {
            slot.name.lower(): {
                "view": str(choice.view),
                "source": choice.source,
                "confidence": choice.confidence.name.lower(),
                "chosen": choice.rule,
                "contradicted_by": list(choice.contradicted_by),
                "turned": choice.turned,
            }
            for slot, choice in ((slot, radiograph.choice) for slot, radiograph in self.radiographs.items())
        }
        counts = Counter((item.part, item.what, item.why) for item in self.set_aside)
        aside = [{"part": part, "what": what, "why": why, "count": n} for (part, what, why), n in counts.items()]
        return {"slots": slots, "set_aside": aside}

    @classmethod
    def from_images(
        cls,
        frontal: ImageSource,
        lateral: ImageSource | None = None,
        prior_frontal: ImageSource | None = None,
        prior_lateral: ImageSource | None = None,
        *,
        any_picture: bool = False,
        intensity_profile: str = PUBLISHED,
    ) -> "Study":
        """Make a study of JPEG or PNG files, one a slot, or of (height, width[, 3]) uint8 arrays, as they are shown.

        A file's EXIF orientation is applied, and told as `turned`.
        intensity_profile: the engine's; minmax-v1 alone changes grey levels, which others take as they are.
        any_picture: take pictures that cannot be radiographs: of one or two grey levels, or strongly coloured.
        Raises StudyError for anything else, or if an image cannot be read, has more than 8 bits a channel or cannot be
        a radiograph; EngineError for an unknown profile.
        """
        given = (frontal, lateral, prior_frontal, prior_lateral)
        views = (View.FRONTAL, View.LATERAL) * 2
        slots = zip(Slot, views, given, strict=True)
        return cls(
            {
                slot: read_picture(source, view, intensity_profile).take(any_picture=any_picture)
                for slot, view, source in slots
                if source is not None
            }
        )

    @classmethod
    def from_dicom(
        cls,
        source: Source,
        prior: Source | None = None,
        *,
        find_prior: bool = False,
        intensity_profile: str = PUBLISHED,
        any_body_part: bool = False,
        any_view: bool = False,
        any_picture: bool = False,
        window: int | None = None,
        allow_for_processing: bool = False,
        allow_incomplete: bool = False,
    ) -> "Study":
        """Make a study of DICOM files: a file, several, a folder or a zip; `prior` likewise.

        source: paths, bytes, open binary files (read from where they stand, left open) or pydicom data sets, as a
        network listener has them: one, or a list.
        prior: the earlier study; of several, the latest one that is earlier and has a usable frontal.
        find_prior: the source may hold several studies of one patient; the latest is the current one,
        and the latest earlier one with a usable frontal, if there is one, its prior.
        any_body_part: score images that do not say that they show a chest.
        any_view: take the only image of the study as its frontal, whatever its view.
        any_picture: see `from_images`.
        window, allow_for_processing: see GreyOptions.
        allow_incomplete: go on where a file or subfolder cannot be read; it is then told among what is set aside.
        Raises DicomError, ViewError or StudyError; a prior of another patient, or one that is not
        earlier, is refused.
        """
        _check_one_way(prior, find_prior)
        grey = GreyOptions(intensity_profile, window, allow_for_processing)
        options = ReadOptions(grey, any_body_part, any_view, any_picture, allow_incomplete)
        found, aside = read_examinations(source, options)
        if len(found) > 1 and not find_prior:
            raise StudyError(
                "more than one study here: give one study and the earlier one as prior, or pass "
                "find_prior=True (--find-prior) for the latest study and its prior"
            )
        current, earlier = split_current(found)
        radiographs, current_aside = _read_selection(current, CURRENT_SLOTS, options)
        if prior is not None:
            given, given_aside = read_examinations(prior, options)
            earlier, later = list_priors(current, given)
            aside += given_aside + [SetAside("folder", "study", "not earlier than the current one")] * later
        picked, passed_over = pick_prior(
            earlier,
            lambda one: _read_selection(one, PRIOR_SLOTS, options),
            options.decode_time,
            is_required=prior is not None,
        )
        prior_radiographs, prior_aside = picked or ({}, ())
        return cls(radiographs | prior_radiographs, (*current_aside, *prior_aside, *passed_over, *aside))


def load_study(
    source: Source,
    *,
    prior: Source | None = None,
    find_prior: bool = False,
    intensity_profile: str = PUBLISHED,
    any_body_part: bool = False,
    any_view: bool = False,
    any_picture: bool = False,
    window: int | None = None,
    allow_for_processing: bool = False,
    allow_incomplete: bool = False,
) -> Study:
    """Make a study of what lies at a path: DICOM (file, files, folder, zip), or one JPEG or PNG frontal radiograph.

    source: a path, or what `Study.from_dicom` takes beside; bytes and open files may be a JPEG or PNG, too.
    The options are those of `Study.from_dicom`. Raises StudyError, DicomError or ViewError.
    """
    try:
        files = read_files(source)
    except StudyError:
        _check_one_way(prior, find_prior)  # what the caller asks is told before what is wrong with the files
        raise
    if files.is_one_file and files.files[0].is_image:
        if prior is not None:
            raise StudyError("prior of a JPEG or PNG radiograph cannot be checked: use Study.from_images")
        return Study.from_images(frontal=files, any_picture=any_picture, intensity_profile=intensity_profile)
    return Study.from_dicom(
        files,
        prior,
        find_prior=find_prior,
        intensity_profile=intensity_profile,
        any_body_part=any_body_part,
        any_view=any_view,
        any_picture=any_picture,
        window=window,
        allow_for_processing=allow_for_processing,
        allow_incomplete=allow_incomplete,
    )


def _check_one_way(prior: Source | None, find_prior: bool) -> None:
    if prior is not None and find_prior:
        raise StudyError("a prior is given and is to be found, too: choose one")


def _read_selection(
    examination: Examination, slots: tuple[Slot, Slot], options: ReadOptions
) -> tuple[dict[Slot, Radiograph], tuple[SetAside, ...]]:
    """Choose the images of an examination, decode them and bring them upright."""
    selection = select_images(examination, slots, any_view=options.any_view)
    radiographs = {
        slot: decode_radiograph(image, selection.choices[slot], options.grey).take(any_picture=options.any_picture)
        for slot, image in selection.images.items()
    }
    return radiographs, selection.set_aside
