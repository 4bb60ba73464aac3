"""Engines and Matchers that are closed, and what they say of themselves."""

import copy
import pickle

import numpy as np
import pytest

from alta_sdk import Engine, EngineError, Matcher, Study


@pytest.fixture(scope="module")
def study():
    return Study.from_images(np.random.default_rng(3).integers(0, 256, (240, 240), dtype=np.uint8))


def test_a_closed_engine_refuses_what_it_knew_a_moment_ago(bundle, study):
    with Engine.open(bundle) as engine:
        matcher = Matcher(engine)
        expected = matcher.zero_shot(study, ["edema"])
        embedding = matcher.embed(study)
        assert matcher.locate(study, "edema").score
        matcher.close()  # not its own
        assert matcher.zero_shot(study, ["edema"]) == expected
    for ask in (
        lambda: matcher.zero_shot(study, ["edema"]),
        lambda: matcher.zero_shot(embedding, ["edema"]),
        lambda: matcher.embed(study),
        lambda: matcher.embed_text(["edema"]),
        lambda: matcher.locate(study, "edema"),
        engine.run_self_test,
    ):
        with pytest.raises(EngineError, match="engine is closed: open it again"):
            ask()
    engine.close()
    assert engine.manifest.name in repr(engine), "what it is can still be asked"


def test_a_matcher_closes_the_engine_that_it_opened(bundle, study):
    with Matcher(bundle) as matcher:
        matcher.embed(study)
    with pytest.raises(EngineError, match="closed"):
        matcher.embed(study)
    matcher.close()


def test_closing_lets_go_of_the_graphs(bundle):
    import gc
    import weakref

    engine = Engine.open(bundle)
    engine.project_prompts(["a phrase that is in no label set"])
    graphs = [
        weakref.ref(session)
        for session in (engine._sessions[0]._session._session, engine._sessions[1]._session._session._session)
    ]
    engine.close()
    gc.collect()
    assert [graph() for graph in graphs] == [None, None]


def test_their_repr_says_what_computes_and_no_path(bundle):
    with Matcher(bundle) as matcher:
        shown = repr(matcher)
        assert matcher.engine.manifest.name in shown and "fp32" in shown and "frontal" in shown
        assert matcher.engine.manifest.sha256[:12] in shown
        assert str(bundle.parent) not in shown and "/" not in shown


def test_engines_say_that_they_belong_to_their_process(bundle):
    with Matcher(bundle) as matcher:
        for remake in (pickle.dumps, copy.deepcopy):
            for value in (matcher, matcher.engine):
                with pytest.raises(EngineError, match="open it in each process"):
                    remake(value)
