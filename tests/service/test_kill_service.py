"""A slice of kill_service.py, which kills a service 200 times."""

from service.kill_service import run_kills


def test_kills_at_random_moments_lose_nothing_and_double_nothing(tmp_path, bundle):
    tally = run_kills(tmp_path, bundle, kills=6, seed=1)
    assert tally.acknowledged > 0 and tally.delivered > 0, tally.describe()
    assert not (tally.lost or tally.doubled or tally.stuck), tally.describe()
