"""Who is let in: users and their passwords, other sites, other names, other addresses."""

import base64

import pytest
from fakes.pages import find_token
from fakes.service_view import KEYS

from alta_sdk.errors import ServiceError
from alta_sdk.service.web import login
from alta_sdk.service.web.login import Login, PasswordHash, hash_password

PASSWORD = "correct horse battery"
CLOSED = ("/worklist", f"/worklist/{KEYS['done']}")


@pytest.fixture(scope="module")
def users():
    return (("anna", hash_password(PASSWORD)), ("prometheus", hash_password("another long password")))


@pytest.fixture
def clock(monkeypatch):
    """The monotonic clock of logins, which the test sets."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    made = Clock()
    monkeypatch.setattr(login, "time", made)
    return made


def log_in(client, password=PASSWORD, user="anna", then=""):
    return client.post("/login", data={"user": user, "password": password, "next": then})


def basic(user="anna", password=PASSWORD):
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize("path", CLOSED)
def test_who_is_not_logged_in_is_asked_to(view, browse, users, path):
    answer = browse(view, users=users).get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=" + path.replace("/", "%2F"))
    assert KEYS["done"][:12] not in answer.text


def test_a_login_leads_where_one_wanted_to_go_and_a_logout_ends_it(view, browse, users):
    client = browse(view, users=users)
    answer = log_in(client, then=CLOSED[1])
    assert (answer.status_code, answer.headers["location"]) == (303, CLOSED[1])
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    page = client.get(CLOSED[1])
    assert page.status_code == 200
    assert "anna" in page.text
    assert client.post("/logout", data={"form_token": find_token(page.text)}).status_code == 303
    assert client.get(CLOSED[1]).status_code == 303


def test_the_audit_says_who_logged_in_and_who_read(view, browse, users):
    client = browse(view, users=users)
    log_in(client, "wrong password")
    log_in(client)
    client.get(CLOSED[1])
    client.get(CLOSED[1])
    told = [(event.actor, event.action, event.study_key) for event in view.audit.list_events(limit=3)]
    assert told == [
        ("anna", "read", KEYS["done"]),
        ("anna", "login", ""),
        ("address testclient", "login refused", ""),
    ]


@pytest.mark.parametrize(
    "then", ["https://elsewhere.example/worklist", "//elsewhere.example", "/worklist//x", "/logout"]
)
def test_a_login_leads_nowhere_else(view, browse, users, then):
    assert log_in(browse(view, users=users), then=then).headers["location"] == "/worklist"


def test_a_session_begun_before_the_login_is_not_the_one_after(view, browse, users):
    client = browse(view, users=users)
    form = {"user": "anna", "password": PASSWORD}
    answer = client.post("/login", data=form, headers={"cookie": "alta_session=chosen-by-another"})
    assert answer.status_code == 303
    assert "chosen-by-another" not in answer.headers["set-cookie"]


def test_a_session_ends_when_it_is_not_used(view, browse, users, monkeypatch):
    from alta_sdk.service.web import sessions

    client = browse(view, users=users)
    log_in(client)
    began = sessions.time.monotonic()

    class Later:
        @staticmethod
        def monotonic():
            return began + 3600

    monkeypatch.setattr(sessions, "time", Later)
    assert client.get("/worklist").status_code == 303


@pytest.fixture
def quick_hashes(monkeypatch):
    """Passwords compared as they are: for tests of what comes before and behind the comparison."""
    monkeypatch.setattr(PasswordHash, "matches", lambda self, password: password == PASSWORD)


def test_wrong_passwords_cost_more_and_more_time(users, clock, quick_hashes):
    tried = Login(users)
    waits = []
    for _ in range(11):
        assert not tried.check("anna", "wrong password", "10.0.0.1")
        waits.append(tried.wait_left("anna", "10.0.0.1"))
        assert not waits[-1] or not tried.check("anna", PASSWORD, "10.0.0.1"), "nothing is tried while one waits"
        clock.now += waits[-1]
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert tried.wait_left("prometheus", "10.0.0.2") == 0
    assert tried.check("anna", PASSWORD, "10.0.0.1")
    assert tried.wait_left("anna", "10.0.0.1") == 0


def test_a_login_that_has_to_wait_is_told_how_long(view, browse, users, clock, quick_hashes):
    client = browse(view, users=users)
    for _ in range(4):
        assert log_in(client, "wrong password").status_code == 401
    answer = log_in(client)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    assert client.get("/metrics", headers=basic()).status_code == 429
    clock.now += 2
    assert log_in(client).status_code == 303


def test_guessing_names_fills_no_memory(clock, monkeypatch):
    tried = Login([])
    monkeypatch.setattr(PasswordHash, "matches", lambda *_: False)
    for number in range(login._MAX_TRACKED + 100):
        tried.check(f"user{number}", "x", f"address{number}")
    assert len(tried._delays._by_name) == login._MAX_TRACKED


@pytest.mark.parametrize("path", ["/metrics", f"/studies/{KEYS['done']}"])
def test_programs_show_user_and_password(view, browse, users, path):
    client = browse(view, users=users)
    answer = client.get(path)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Basic realm="alta"')
    assert client.get(path, headers=basic(password="wrong password")).status_code == 401
    assert client.get(path, headers={"authorization": "Basic !!!"}).status_code == 401
    assert client.get(path, headers=basic()).status_code == 200
    assert client.get(path, headers=basic("prometheus", "another long password")).status_code == 200


def test_a_right_password_is_not_computed_for_every_request(users, monkeypatch):
    tried = Login(users)
    assert tried.check_again("anna", PASSWORD, "a")
    monkeypatch.setattr(PasswordHash, "matches", None)
    assert tried.check_again("anna", PASSWORD, "a")
    with pytest.raises(TypeError):
        tried.check_again("prometheus", PASSWORD, "a")


def test_health_says_yes_or_no_to_everybody_and_why_to_users(view, browse, users):
    from alta_sdk.service.health import Check

    view.readiness().append(Check("disk", False, "is nearly full: free some of it"))
    client = browse(view, users=users)
    assert client.get("/healthz").text == "ok\n"
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"][-1] == {"name": "disk", "ok": False}
    log_in(client)
    assert client.get("/readyz").json()["checks"][-1]["told"] == "is nearly full: free some of it"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
    ],
)
def test_another_site_can_ask_nothing(view, browse, headers):
    client = browse(view)
    token = find_token(client.get(CLOSED[1]).text)
    for method, path in (("POST", CLOSED[1] + "/erase"), ("DELETE", f"/studies/{KEYS['done']}")):
        answer = client.request(method, path, data={"form_token": token, "sure": "yes"}, headers=headers)
        assert answer.status_code == 403
    assert view.store.get_study(KEYS["done"])


@pytest.mark.parametrize(
    "host", ["elsewhere.example", "elsewhere.example:8042", "127.0.0.1.elsewhere.example", "", "["]
)
def test_without_users_only_the_machines_own_names_are_answered(view, browse, host):
    answer = browse(view).get("/worklist", headers={"host": host})
    assert answer.status_code == 403
    assert KEYS["done"][:12] not in answer.text


@pytest.mark.parametrize("host", ["localhost:8042", "127.0.0.1", "[::1]:8042"])
def test_the_machines_own_names_are_answered(view, browse, host):
    assert browse(view).get("/worklist", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "text", ["", PASSWORD, "scrypt:14:8:3:" + "A" * 22 + ":" + "A" * 43, "scrypt:30:8:3:" + "A" * 22 + ":" + "A" * 43]
)
def test_what_is_no_password_hash_is_refused(text):
    with pytest.raises(ServiceError, match="alta service hash-password"):
        PasswordHash.read(text)


@pytest.mark.parametrize("password", ["short", "x" * 2000, "with a\nline break", "\x00" * 20])
def test_passwords_that_are_too_short_or_cannot_be_typed_are_refused(password):
    with pytest.raises(ServiceError):
        hash_password(password)


def test_two_hashes_of_one_password_differ_and_both_hold(users):
    first, second = hash_password(PASSWORD), users[0][1]
    assert first != second
    assert PasswordHash.read(first).matches(PASSWORD)
    assert not PasswordHash.read(second).matches(PASSWORD + " ")
