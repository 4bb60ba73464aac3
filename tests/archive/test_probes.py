"""What a search reads is measured: recall of texts among studies, with filters too; never less than is said."""

import numpy as np
import pytest

from alta_sdk import EngineError
from alta_sdk.archive import probes, table
from alta_sdk.archive.commit import writing
from alta_sdk.archive.probes import Probes, build_index
from alta_sdk.archive.schema import ArchiveOrigin, make_schema
from alta_sdk.archive.table import Archive
from alta_sdk.engine.vectors import to_unit_length

ROWS, WIDTH = 12_000, 32
ORIGIN = ArchiveOrigin("engine", "frontal", "published-v1", "", WIDTH)


def make_vectors(count, seed=0, clusters=60):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((clusters, WIDTH))
    spread = np.arange(1, WIDTH + 1) ** -1.0
    return to_unit_length(
        (centres[rng.integers(0, clusters, count)] + 0.7 * rng.standard_normal((count, WIDTH))) * spread
    )


def make_rows(vectors, first=0):
    import pyarrow as pa

    count, rng = len(vectors), np.random.default_rng(first)
    columns = {
        "key": pa.array([(first + number).to_bytes(16, "big") for number in range(count)], pa.binary(16)),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float32()), WIDTH),
        "age": pa.array(rng.integers(0, 90, count), pa.int16()),
        "sex": pa.array(rng.choice(["F", "M"], count), pa.string()),
        "view": pa.array(rng.choice(["PA", "AP"], count), pa.string()),
        "study_month": pa.array([f"20{number % 25:02}-01" for number in range(count)], pa.string()),
    }
    schema = make_schema(ORIGIN)
    filled = {name: columns.get(name, pa.nulls(count, schema.field(name).type)) for name in schema.names}
    return pa.table(filled, schema=schema)


def make_archive(path, vectors, **changes):
    import lance

    made = lance.write_dataset(make_rows(vectors), str(path))
    build_index(made, **changes)
    return Archive(str(path))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return make_archive(tmp_path_factory.mktemp("large") / "a.lance", make_vectors(ROWS), min_rows=1)


@pytest.fixture(autouse=True)
def few_rows_are_searched_by_cells(monkeypatch):
    monkeypatch.setattr(table, "EXACT_ROWS", 100)


def measure_recall(archive, queries, text=None):
    where = archive.parse_where(text)
    recall = []
    for query in queries:
        exact = {one.key: one.cosine for one in archive.search_vector(query, 10, where, exact=True).found}
        result = archive.search_vector(query, 10, where)
        assert not result.is_exact
        found = {one.key: one.cosine for one in result.found}
        assert all(abs(found[key] - exact[key]) < 1e-6 for key in found.keys() & exact.keys()), "every cosine is exact"
        recall.append(len(found.keys() & exact.keys()) / len(exact))
    return np.mean(recall)


@pytest.mark.parametrize("text", [None, "age >= 60 and view = 'PA' and study_month >= '2018-01'"])
@pytest.mark.parametrize("kind", ["same", "across"])
def test_what_is_measured_finds_the_neighbours(large, kind, text):
    assert 0 < large.probes.plain <= large.probes.filtered < large.probes.cells / 2
    queries = make_vectors(150, seed=4)
    if kind == "across":
        queries = to_unit_length(queries + to_unit_length(np.random.default_rng(1).standard_normal(queries.shape)))
    assert measure_recall(large, queries, text) >= 0.99


def test_an_exact_search_gives_the_exact_order(large):
    vectors, query = make_vectors(ROWS), make_vectors(1, seed=7)[0]
    expected = np.argsort(-(vectors @ query), kind="stable")[:7]
    result = large.search_vector(query, 7, exact=True)
    assert [int(one.key, 16) for one in result.found] == expected.tolist() and result.is_exact
    np.testing.assert_allclose([one.cosine for one in result.found], vectors[expected] @ query, atol=1e-6)


def test_vectors_without_neighbourhoods_are_searched_exactly(tmp_path):
    noise = to_unit_length(np.random.default_rng(0).standard_normal((3_000, WIDTH)))
    archive = make_archive(tmp_path / "a.lance", noise, min_rows=1)
    assert archive.probes.plain is None and archive.probes.filtered is None
    assert archive.search_vector(noise[5], 1).is_exact


def test_a_small_archive_has_no_index(tmp_path):
    archive = make_archive(tmp_path / "a.lance", make_vectors(500))
    assert archive.probes is None and archive.table.describe_indices() == []
    assert len(archive.search_vector(make_vectors(1)[0], 1000).found) == 500


def test_studies_that_came_later_are_found_at_once(tmp_path):
    import lance

    archive = make_archive(tmp_path / "a.lance", make_vectors(2_000), min_rows=1)
    lance.write_dataset(make_rows(make_vectors(200, seed=8), first=50_000), archive.uri, mode="append")
    new = make_vectors(200, seed=8)[11]
    assert Archive(archive.uri).search_vector(new, 1).found[0].key == (50_011).to_bytes(16, "big").hex()


def test_a_filter_that_leaves_few_reads_all_of_them(large):
    where = large.parse_where("age = 60 and view = 'PA' and study_month = '2018-01'")
    result = large.search_vector(make_vectors(1)[0], 10, where)
    assert result.is_exact and result.rows <= 100
    assert large.search_vector(make_vectors(1)[0], 10, large.parse_where("age > 200")).found == ()


def test_what_was_measured_is_kept_with_the_table(large):
    kept = Probes.parse(large.table.config()[probes.PROBES])
    assert kept == large.probes and kept.recall_plain >= 0.995 and kept.recall_filtered >= 0.995
    with pytest.raises(EngineError, match="optimize"):
        Probes.parse("{}")


def test_a_query_of_another_width_is_refused(large):
    for query in (np.ones(WIDTH + 1, dtype=np.float32), np.full(WIDTH, np.nan, dtype=np.float32)):
        with pytest.raises(EngineError, match="finite numbers"):
            large.search_vector(query)


def test_errors_of_the_store_are_one_line():
    with pytest.raises(EngineError, match="cannot be written") as caught, writing("s3://bucket/a.lance"):
        raise OSError("LanceError(IO): AccessDenied at s3://bucket/DOE_JANE, key=SECRET, line\ntwo")
    assert "DOE" not in str(caught.value) and "\n" not in str(caught.value) and "denies" in str(caught.value)
