"""A short slice of the DICOM fuzzer, in this process; `fuzz_dicom.py` runs 20,000 files."""

from collections import Counter

from fuzz.cases import make_case
from fuzz.fuzz_dicom import LIMIT_MIB, run_cases
from fuzz.seeds import load_seeds


def test_broken_files_give_a_study_or_an_error_of_ours():
    cases = list(run_cases(seed=7, first=2, count=120))
    broken = [promise for case in cases for promise in case.broken]
    # The program's limits are for a process that has nothing else to do and holds no torch.
    assert [promise for promise in broken if not promise.startswith(("longer than", "more than"))] == []
    assert max(case.mib for case in cases) - min(case.mib for case in cases) < LIMIT_MIB
    outcomes = Counter(case.outcome for case in cases)
    assert outcomes["Study"] > 8 and outcomes["DicomError"] > 60


def test_a_case_is_the_same_file_each_time():
    seeds = load_seeds()
    assert make_case(seeds, 7, 12) == make_case(load_seeds(), 7, 12)
    assert make_case(seeds, 7, 12).data != make_case(seeds, 8, 12).data
