"""A receiving side, and peers, for each module or test that asks."""

import pytest

from service.fixtures import open_side


@pytest.fixture
def side(tmp_path):
    with open_side(tmp_path / "state") as opened:
        yield opened
