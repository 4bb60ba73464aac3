"""Health, readiness and metrics for those who watch over the service."""

import re

from fakes.service_view import KEYS, UID

from alta_sdk.service.health import Check, Metric, render_metrics

LINE = re.compile(r'[a-z_]+(\{[a-z_]+="(?:[^"\\\n]|\\.)*"(,[a-z_]+="(?:[^"\\\n]|\\.)*")*\})? -?[0-9.e+-]+')


def test_metrics_are_text_as_prometheus_reads_it(view, browse):
    answer = browse(view).get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    assert all(line.startswith("# ") or LINE.fullmatch(line) for line in lines)
    assert 'alta_service_studies{state="failed"} 1' in lines
    assert 'alta_service_deliveries{destination="archive",state="waiting"} 1' in lines
    assert "alta_service_ready 1" in lines
    assert any(line.startswith("alta_service_free_bytes ") for line in lines)


def test_metrics_name_no_study(view, browse):
    text = browse(view).get("/metrics").text
    assert not any(key in text for key in KEYS.values())
    assert UID not in text


def test_labels_are_escaped():
    metric = Metric("check", "gauge", "1 if it holds.", (({"check": 'a"b\\c\nd'}, 0.5),))
    assert render_metrics([metric]).splitlines()[-1] == 'alta_service_check{check="a\\"b\\\\c\\nd"} 0.5'


def test_a_service_that_is_not_ready_says_503(view, browse):
    client = browse(view)
    assert client.get("/readyz").status_code == 200
    view.readiness().append(Check("engine demo", False, "self-test failed: run alta doctor"))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"][-1] == {
        "name": "engine demo",
        "ok": False,
        "told": "self-test failed: run alta doctor",
    }
    assert client.get("/healthz").status_code == 200
    assert "alta_service_ready 0" in client.get("/metrics").text
