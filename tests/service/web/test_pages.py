"""The page: what it shows, what it never shows, and what its buttons do."""

import re

import pytest
from fakes.pages import find_token, list_outside_links
from fakes.service_view import KEYS, UID, add_instance, make_content

from alta_sdk.service.records import StudyState

PAGES = ("/worklist", "/worklist/{done}", "/worklist/{revised}", "/worklist/{refused}", "/worklist/none", "/login")


def test_the_worklist_shows_every_study_and_how_many_are_in_each_state(view, browse):
    page = browse(view).get("/worklist").text
    assert all(key[:12] in page for key in KEYS.values())
    assert "The service is ready." in page
    assert re.findall(r"<b>(\d)</b> (\w+)", page) == [
        (str(count), str(state)) for state, count in view.store.count_states().items()
    ]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("state=refused", {"refused"}),
        ("state=open", {"receiving", "complete", "scoring", "delivering"}),
        ("sender=DX-ROOM-2", {"receiving"}),
        (f"key={KEYS['done'][:5].upper()}", {"done"}),
        ("state=done&sender=NOBODY", set()),
        ("state=nonsense&key=%25&page=0", set(KEYS)),
    ],
)
def test_filters_show_what_they_say(view, browse, query, shown):
    page = browse(view).get(f"/worklist?{query}").text
    assert {name for name, key in KEYS.items() if f"/worklist/{key}" in page} == shown


def test_a_long_worklist_comes_in_pages(empty_view, browse):
    for number in range(120):
        add_instance(empty_view, f"{number:032x}")
    client = browse(empty_view)
    found = [set(re.findall(r"/worklist/([0-9a-f]{32})", client.get(f"/worklist?page={n}").text)) for n in (1, 2, 3)]
    assert [len(one) for one in found] == [50, 50, 20]
    assert len(set.union(*found)) == 120
    assert "120 studies, page 2 of 3" in client.get("/worklist?page=2").text
    assert 'rel="next"' not in client.get("/worklist?page=3").text


def test_a_check_that_does_not_hold_is_told_with_its_remedy(view, browse):
    from alta_sdk.service.health import Check

    view.readiness().append(Check("destination pacs", False, "does not answer: check host and port"))
    page = browse(view).get("/worklist").text
    assert "The service is not ready." in page
    assert "destination pacs: does not answer: check host and port" in page


def test_a_study_shows_scores_thresholds_reasons_deliveries_and_who_did_what(view, browse):
    page = browse(view).get(f"/worklist/{KEYS['delivering']}").text
    for told in (
        "pneumonia",
        "0.812",
        "above 0.550",
        "none calibrated",
        "DEMO MODEL: small, trained on 556 radiographs.",
        "no earlier study was asked for",
        "ViewPosition",
        "an earlier repeat of it",
        "destination does not answer",
        "JPEG 2000 Image Compression (Lossless Only)",
        "It is not a probability of disease.",
        "scored",
    ):
        assert told in page, told


def test_earlier_revisions_stay_to_be_seen(view, browse):
    page = browse(view).get(f"/worklist/{KEYS['revised']}").text
    assert "Scores of revision 2" in page
    assert "Revision 1, replaced" in page
    assert page.index("0.612") < page.index("Revision 1, replaced") < page.index("0.812")


def test_a_refused_study_says_why(view, browse):
    page = browse(view).get(f"/worklist/{KEYS['refused']}").text
    assert "body part is not the chest: found hand" in page
    assert "2 × image hand: body part is not the chest" in page


@pytest.mark.parametrize("path", PAGES)
def test_every_page_says_not_for_clinical_use_and_loads_nothing_from_elsewhere(view, browse, path):
    page = browse(view).get(path.format(**KEYS), headers={"accept": "text/html"}, follow_redirects=True)
    assert "Not for clinical use: not a medical device." in page.text
    assert list_outside_links(page.text) == []
    assert "<script" not in page.text
    assert " style=" not in page.text
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"


def test_no_uid_is_on_any_page(view, browse):
    client = browse(view)
    for path in ["/worklist", *(f"/worklist/{key}" for key in KEYS.values()), "/metrics", "/readyz"]:
        assert UID not in client.get(path).text


def test_identifiers_are_shown_only_where_the_configuration_says_so(empty_view, browse, make_dicom):
    file = make_dicom(PatientName="DOE^JANE", PatientID="4711", AccessionNumber="A-1", StudyDate="20250102")
    add_instance(empty_view, KEYS["done"], data=file.read_bytes())
    paths = ("/worklist", f"/worklist/{KEYS['done']}")
    for path in paths:
        page = browse(empty_view).get(path).text
        assert not re.search("DOE|4711|A-1|20250102", page)
        page = browse(empty_view, show_identifiers=True).get(path).text
        assert "DOE^JANE" in page
        assert "4711" in page
    read = [event for event in empty_view.audit.list_events() if event.action == "read"]
    assert {event.study_key for event in read} == {"", KEYS["done"]}


def test_hostile_text_is_shown_and_not_obeyed(empty_view, browse):
    from fakes.service_view import complete, score

    complete(empty_view, KEYS["done"])
    evil = "<script>alert(1)</script>\u202e\x1b[2J"
    content = make_content()
    content["scores"] = {evil: 0.5}
    content["notices"] = [evil]
    content["explanation"] = {"slots": {evil: {"view": evil}}, "set_aside": [{"why": evil}]}
    content["provenance"] = {evil: {"a": [evil]}}
    score(empty_view)
    empty_view.store.database._connection.execute(
        "UPDATE results SET content = ?", (__import__("json").dumps(content),)
    )
    for path in ("/worklist", f"/worklist/{KEYS['done']}"):
        page = browse(empty_view).get(path)
        assert page.status_code == 200
        assert "<script" not in page.text
        assert "\u202e" not in page.text
        assert "\x1b" not in page.text
    assert "&lt;script&gt;" in page.text


def test_the_button_lets_a_failed_study_be_scored_again(view, browse):
    client = browse(view)
    path = f"/worklist/{KEYS['failed']}"
    token = find_token(client.get(path).text)
    answer = client.post(path + "/retry", data={"form_token": token})
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert view.store.get_study(KEYS["failed"]).state is StudyState.COMPLETE
    assert "anybody" in client.get(path).text
    assert client.post(path + "/retry", data={"form_token": token}).status_code == 409


def test_erasing_needs_the_box_ticked(view, browse):
    client = browse(view)
    path = f"/worklist/{KEYS['done']}"
    token = find_token(client.get(path).text)
    assert client.post(path + "/erase", data={"form_token": token}).status_code == 400
    assert view.store.get_study(KEYS["done"])
    assert client.post(path + "/erase", data={"form_token": token, "sure": "yes"}).status_code == 200
    assert view.store.get_study(KEYS["done"]) is None
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("token", [None, "", "guessed", "ü" * 40])
def test_a_button_without_the_sessions_own_token_does_nothing(view, browse, token):
    client = browse(view)
    client.get("/worklist")
    form = {"sure": "yes"} | ({} if token is None else {"form_token": token})
    assert client.post(f"/worklist/{KEYS['done']}/erase", data=form).status_code == 403
    assert client.post(f"/worklist/{KEYS['failed']}/retry", data=form).status_code == 403
    assert view.store.get_study(KEYS["done"])


def test_a_form_that_is_too_large_is_no_form(view, browse):
    client = browse(view)
    token = find_token(client.get(f"/worklist/{KEYS['done']}").text)
    form = {"form_token": token, "sure": "yes", "more": "x" * 20_000}
    assert client.post(f"/worklist/{KEYS['done']}/erase", data=form).status_code == 403
    many = {f"f{number}": "x" for number in range(50)} | {"form_token": token}
    assert client.post(f"/worklist/{KEYS['done']}/erase", data=many).status_code == 403


def test_an_error_inside_is_not_told(view, browse, monkeypatch, caplog):
    def fail(*arguments):
        raise RuntimeError("DOE^JANE")

    monkeypatch.setattr(view.store, "count_states", fail)
    answer = browse(view).get("/worklist")
    assert answer.status_code == 500
    assert "DOE" not in answer.text
    assert "DOE" not in caplog.text
    assert "RuntimeError" in caplog.text
