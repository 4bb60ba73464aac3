"""A service's stores filled by hand, and the page over them."""

import pytest
from fakes.service_view import fill_view, make_settings, make_view
from starlette.testclient import TestClient

from alta_sdk.service.web.app import make_app

HERE = "http://127.0.0.1:8042"


@pytest.fixture
def empty_view(tmp_path):
    with make_view(tmp_path / "state") as made:
        yield made


@pytest.fixture
def view(empty_view):
    fill_view(empty_view)
    return empty_view


@pytest.fixture
def browse(tmp_path):
    """A client over a view; keyword arguments are of Web."""
    opened = []

    def make(view, **web):
        app = make_app(view, make_settings(tmp_path, **web))
        client = TestClient(app, base_url=HERE, raise_server_exceptions=False, follow_redirects=False)
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()
