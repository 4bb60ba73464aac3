"""Fusion modes belong to a family: which there are, what they read, and what a family without ALTA's head makes."""

import numpy as np
import pytest

from alta_sdk import EngineError
from alta_sdk.engine.fusion import check_mode, choose_slots, embed_slots, list_used_modes, tell_used_mode
from alta_sdk.engine.heads import LinearHead, NoHead
from alta_sdk.engine.vectors import to_unit_length
from alta_sdk.study.slots import Slot

ALL = tuple(Slot)
generator = np.random.default_rng(16)
VECTORS = {slot: generator.standard_normal(5).astype(np.float32) for slot in ALL}


def test_a_mode_reads_the_slots_of_its_family_alone():
    frontals = (Slot.FRONTAL, Slot.PRIOR_FRONTAL)
    assert choose_slots(ALL, "frontal") == (Slot.FRONTAL,)
    assert choose_slots(ALL, "present") == choose_slots(ALL, "published") == ALL
    assert choose_slots(ALL, "present", frontals) == frontals
    assert choose_slots(ALL, "prior") == frontals
    assert choose_slots((Slot.FRONTAL, Slot.LATERAL), "prior") == (Slot.FRONTAL,)
    with pytest.raises(EngineError, match="choose one of: frontal"):
        choose_slots(ALL, "mean")


@pytest.mark.parametrize("head", [LinearHead(generator.standard_normal((3, 5))), NoHead(5)])
def test_without_altas_head_present_is_the_mean_of_unit_vectors(head):
    each = {slot: to_unit_length(head.project(vector[None]))[0] for slot, vector in VECTORS.items()}
    np.testing.assert_array_equal(embed_slots(VECTORS, "frontal", head), each[Slot.FRONTAL])
    alone = {Slot.FRONTAL: VECTORS[Slot.FRONTAL]}
    np.testing.assert_array_equal(embed_slots(alone, "present", head), each[Slot.FRONTAL])
    mean = np.mean([vector.astype(np.float64) for vector in each.values()], axis=0)
    np.testing.assert_allclose(embed_slots(VECTORS, "present", head), mean / np.linalg.norm(mean), rtol=1e-6)
    with pytest.raises(EngineError, match="choose one of: frontal, present"):
        embed_slots(VECTORS, "published", head)


def test_a_mode_of_another_family_is_refused_with_the_own_ones():
    with pytest.raises(EngineError, match="not supported; choose one of: frontal, prior$"):
        check_mode("present", ("frontal", "prior"))
    for mode in ("frontal", "prior"):
        check_mode(mode, ("frontal", "prior"))


def test_without_a_prior_the_mode_that_is_used_is_frontal():
    assert tell_used_mode("prior", (Slot.FRONTAL, Slot.PRIOR_FRONTAL)) == "prior"
    assert tell_used_mode("prior", (Slot.FRONTAL,)) == "frontal"
    assert tell_used_mode("present", (Slot.FRONTAL,)) == "present", "of other modes nothing changes"
    assert list_used_modes("prior") == ("prior", "frontal")
    assert list_used_modes("present") == ("present",)
