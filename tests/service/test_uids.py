import re

from alta_sdk.service.uids import derive_uid
from alta_sdk.study.key import SiteKey

ONE, OTHER = SiteKey(b"1" * 32), SiteKey(b"2" * 32)


def test_the_same_parts_have_the_same_uid_on_one_site():
    assert derive_uid(ONE, "report", "key", 1) == derive_uid(ONE, "report", "key", 1)
    assert derive_uid(ONE, "report", "key", 1) != derive_uid(OTHER, "report", "key", 1)


def test_other_parts_have_another_uid_also_where_they_read_the_same_in_a_row():
    parts = [("a", "bc"), ("ab", "c"), ("abc",), ("a", "b", "c"), ("a", "bc", ""), ("1",), (1,)]
    assert len({derive_uid(ONE, *one) for one in parts}) == len(parts)


def test_a_derived_uid_is_a_valid_one_of_128_bits():
    for number in range(200):
        uid = derive_uid(ONE, number)
        assert re.fullmatch(r"2\.25\.(0|[1-9][0-9]*)", uid) and len(uid) <= 64 and int(uid[5:]) < 1 << 128
