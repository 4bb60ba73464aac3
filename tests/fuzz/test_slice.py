"""A short slice of the DICOM fuzzer, in this process; `fuzz_dicom.py` runs 20,000 files."""

from collections import Counter

from fuzz.fuzz_dicom import make_case, run_cases
from fuzz.seeds import load_seeds


def test_broken_files_give_a_study_or_an_error_of_ours():
    cases = list(run_cases(seed=7, first=0, count=300))
    assert [case for case in cases if case.broken] == []
    outcomes = Counter(case.outcome for case in cases)
    assert outcomes["Study"] > 20 and outcomes["DicomError"] > 150


def test_a_case_is_the_same_file_each_time():
    seeds = load_seeds()  # without the bomb, whose place the first one takes
    assert make_case(seeds, 7, 12)[1:] == make_case(load_seeds(), 7, 12)[1:]
    assert make_case(seeds, 7, 12)[2] != make_case(seeds, 8, 12)[2]
