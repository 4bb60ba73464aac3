"""Which file a case of the fuzzer is: drawn by its seed and number alone."""

from dataclasses import dataclass

import numpy as np

from alta_sdk.dicom.intensity import PROFILES, VOI

from .large_files import GROWTHS, draw_size
from .mutations import MUTATIONS, Mutation
from .picture_mutations import PICTURE_MUTATIONS
from .seeds import Seed, load_bomb, load_pictures
from .wrappings import WRAPPINGS, Wrap, alone

CHEST_SHARE = 0.5
BOMB = 500  # one case in this many is of the deflated bomb
PICTURE_SHARE = 0.15
WRAPPED_SHARE = 0.2
UNCHANGED = 50  # one case in this many is a whole seed: Studies must come out, too


@dataclass(frozen=True)
class Input:
    """What a case feeds. zeros: how many are behind the data. wrap: what it lies in."""

    seed: Seed
    mutations: list[str]
    data: bytes
    options: dict[str, object]
    wrap: Wrap = alone
    zeros: int = 0


def make_case(seeds: list[Seed], seed: int, number: int) -> Input:
    """Return the seed, the names of the mutations, the file and the options of a case."""
    rng = np.random.default_rng([seed, number])
    is_picture = rng.random() < PICTURE_SHARE
    chest = [one for one in seeds if not one.name.endswith(".dcm")]
    pool = chest if rng.random() < CHEST_SHARE else seeds  # many of the shipped files are no images
    pool = load_pictures() if is_picture else pool
    chosen = load_bomb() if number % BOMB == 1 else pool[rng.integers(len(pool))]
    kinds = PICTURE_MUTATIONS if is_picture and number % BOMB != 1 else MUTATIONS
    data, names = _mutate(rng, bytearray(chosen.data), kinds, 0 if number % UNCHANGED == 0 else int(rng.integers(1, 4)))
    wrap = WRAPPINGS[rng.integers(len(WRAPPINGS))] if rng.random() < WRAPPED_SHARE else alone
    return Input(chosen, names, bytes(data), _draw_options(rng), wrap)


def make_large_case(seeds: list[Seed], seed: int, number: int) -> Input:
    """Return a case of a file of 1 MiB to 1 GiB, whose header alone is broken."""
    rng = np.random.default_rng([seed, number, 1])
    chest = [one for one in seeds if not one.name.endswith(".dcm")]
    chosen = chest[rng.integers(len(chest))]
    grow = GROWTHS[rng.integers(len(GROWTHS))]
    head, zeros = grow(rng, bytearray(chosen.data), draw_size(rng))
    count = 0 if number % UNCHANGED == 0 else int(rng.integers(0, 3))
    data, names = _mutate(rng, head, MUTATIONS, count)
    return Input(chosen, [grow.__name__, *names], bytes(data), _draw_options(rng), zeros=zeros)


def _mutate(
    rng: np.random.Generator, data: bytearray, kinds: tuple[Mutation, ...], count: int
) -> tuple[bytearray, list[str]]:
    names = []
    for _ in range(count):
        mutation = kinds[rng.integers(len(kinds))]
        names.append(mutation.__name__)
        if len(data) > 1:
            data = mutation(rng, data)
    return data, names


def _draw_options(rng: np.random.Generator) -> dict[str, object]:
    profile = PROFILES[rng.integers(len(PROFILES))]
    options: dict[str, object] = {"intensity_profile": profile, "any_body_part": True, "any_view": True}
    options["any_picture"] = True
    if profile == VOI and rng.random() < 0.2:
        options["window"] = int(rng.integers(1, 4))
    if rng.random() < 0.1:
        options["any_body_part"] = options["any_view"] = options["any_picture"] = False
    return options
