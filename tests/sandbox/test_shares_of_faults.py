"""How often faults happen, to which requests, and what cannot be asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from batchops.sandbox import EmbeddedSandbox, Faults, InvalidFaults
from batchops.sandbox.fault_chooser import FaultChooser
from batchops.sandbox.faults import Endpoint, FaultKind
from tests.sandbox.plain_http import PlainHttp

REQUESTS = 2_000
METHODS = {Endpoint.UPDATE: "PUT"}


def happened(faults: Faults, endpoint: Endpoint, requests: int = REQUESTS) -> Counter[str | None]:
    chooser = FaultChooser(faults, seed=1)
    method = METHODS.get(endpoint, "GET")
    return Counter(chooser.choose(endpoint, method, "one") for _ in range(requests))


def endpoint_for(kind: FaultKind) -> Endpoint:
    """An endpoint that the fault applies to."""
    everywhere = Faults.of(**{kind: 1})
    return next(one for one in Endpoint if happened(everywhere, one, requests=1)[kind])


@pytest.mark.parametrize("kind", list(FaultKind))
def test_each_fault_happens_as_often_as_its_share_says(kind: FaultKind) -> None:
    endpoint = endpoint_for(kind)
    tenth = happened(Faults.of(**{kind: 0.1}), endpoint)
    assert happened(Faults.of(**{kind: 1}), endpoint) == {kind: REQUESTS}
    assert happened(Faults.of(**{kind: 0}), endpoint) == {None: REQUESTS}
    assert 0.07 * REQUESTS < tenth[kind] < 0.13 * REQUESTS


@pytest.mark.parametrize("kind", ["not_applied", "refused", "extra_change"])
def test_what_concerns_updates_never_applies_to_reads(kind: str) -> None:
    assert happened(Faults.of(**{kind: 1}), Endpoint.BATCH) == {None: REQUESTS}


def test_several_faults_share_the_requests_and_each_request_has_one() -> None:
    counts = happened(Faults.of(error_500=0.1, error_503=0.1, reset_after=0.1), Endpoint.UPDATE)
    assert set(counts) == {"error_500", "error_503", "reset_after", None}
    assert min(counts.values()) > 0.05 * REQUESTS


def test_the_same_seed_makes_the_same_choices() -> None:
    faults = Faults.of(error_500=0.5)
    first, second = FaultChooser(faults, seed=7), FaultChooser(faults, seed=7)
    for _ in range(100):
        wanted = first.choose(Endpoint.BATCH, "GET", "one")
        assert second.choose(Endpoint.BATCH, "GET", "one") == wanted


def test_faults_can_be_kept_to_methods_and_batches(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.add_batch(batch_id="one")
    sandbox.add_batch(batch_id="two")
    sandbox.set_faults(error_503=1, methods=["PUT"], batch_ids=["two"])
    statuses = [
        http.update("one", {}).status_code,
        http.update("two", {}).status_code,
        http.batch("two").status_code,
        http.batches().status_code,
    ]
    assert statuses == [200, 503, 200, 200]


def test_one_fault_can_have_a_scope_of_its_own(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.add_batch(batch_id="one")
    sandbox.set_faults(error_503={"share": 1, "methods": ["PUT"]}, error_500=1)
    assert http.batch("one").status_code == 500


def status_of(ask: Callable[[], requests.Response]) -> int | str:
    try:
        return ask().status_code
    except requests.ConnectionError:
        return "reset"


@pytest.mark.parametrize(
    ("faults", "update_one", "update_two", "read_one", "read_two", "list_batches", "campaigns"),
    [
        ({"error_503": {"share": 1, "methods": ["PUT"]}}, 503, 503, 200, 200, 200, 200),
        ({"forbidden": {"share": 1, "batch_ids": ["two"]}}, 200, 403, 200, 403, 200, 200),
        ({"error_500": {"share": 1, "endpoints": ["batch"]}}, 200, 200, 500, 500, 200, 200),
        ({"error_500": {"share": 1, "endpoints": ["batches"]}}, 200, 200, 200, 200, 500, 200),
        (
            {"error_status": {"share": 1, "endpoints": ["campaigns"]}, "status": 599},
            200, 200, 200, 200, 200, 599,
        ),
        (
            {
                "error_500": {"share": 1, "methods": ["GET"]},
                "reset_after": {"share": 1, "methods": ["PUT"]},
            },
            "reset", "reset", 500, 500, 500, 500,
        ),
        (
            {"error_503": 1, "endpoints": ["update", "batch"], "batch_ids": ["one"]},
            503, 200, 503, 200, 200, 200,
        ),
    ],
)  # fmt: skip
def test_an_outage_of_a_part_is_one_line(
    sandbox: EmbeddedSandbox,
    http: PlainHttp,
    faults: dict[str, Any],
    update_one: int | str,
    update_two: int | str,
    read_one: int,
    read_two: int,
    list_batches: int,
    campaigns: int,
) -> None:
    sandbox.add_batch(batch_id="one", paused=False)
    sandbox.add_batch(batch_id="two", paused=False)
    sandbox.set_faults(**faults)
    assert status_of(lambda: http.update("one", {"paused": True})) == update_one
    assert status_of(lambda: http.update("two", {"paused": True})) == update_two
    assert status_of(lambda: http.batch("one")) == read_one
    assert status_of(lambda: http.batch("two")) == read_two
    assert status_of(http.batches) == list_batches
    assert status_of(http.campaigns) == campaigns
    assert sandbox.batch("one")["paused"] is (update_one in (200, "reset"))


def test_a_fault_can_end_after_so_many_times_and_starts_anew_when_set_again(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.add_batch(batch_id="one")
    sandbox.set_faults(error_503={"share": 1, "times": 2})
    assert [http.batch("one").status_code for _ in range(3)] == [503, 503, 200]
    sandbox.set_faults(latency=0)
    assert http.batch("one").status_code == 200
    sandbox.set_faults(error_503={"share": 1, "times": 1})
    assert [http.batch("one").status_code for _ in range(2)] == [503, 200]


def test_setting_some_faults_leaves_the_others_and_clearing_ends_all(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.set_faults(error_503=1)
    sandbox.set_faults(latency=0.01)
    assert http.batches().status_code == 503
    sandbox.clear_faults()
    assert http.batches().status_code == 200


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"error_599": 1}, "There is no fault 'error_599'"),
        ({"error_500": 1.5}, "error_500: 1.5 is not a share between 0 and 1"),
        ({"error_500": -1}, "error_500: -1 is not a number of 0 or more"),
        ({"error_500": "often"}, "error_500: 'often' is not a number"),
        ({"error_500": True}, "error_500: True is not a number"),
        ({"error_500": {"methods": ["PUT"]}}, "error_500: takes share, methods"),
        ({"error_500": {"share": 1, "when": 2}}, "error_500: takes share, methods"),
        ({"error_500": {"share": 1, "times": -1}}, "error_500.times: -1 is not a whole number"),
        ({"latency": float("nan")}, "latency: nan is not a number"),
        ({"methods": ["DELETE"]}, r"methods: \['DELETE'\] are not among GET, PUT"),
        ({"batch_ids": "one"}, "batch_ids: 'one' is not a list"),
        ({"null_handling": "keep"}, "null_handling: 'keep' is not one of clear, ignore, refuse"),
        ({"retry_after": "later"}, "retry_after: 'later' is not one of seconds, date"),
        ({"deleted_hidden": 1}, "deleted_hidden: 1 is neither true nor false"),
        ({"ended_status": 500}, "ended_status: 500 is not 0, 400, 404, 409 or 422"),
        ({"redirect_to": ""}, "redirect_to: '' is not a text"),
        ({"status": 200}, "status: 200 is not an HTTP status from 400 to 599"),
        ({"endpoints": ["results"]}, r"endpoints: \['results'\] are not among batches, batch"),
        ({"list_lag_seconds": 601}, "list_lag_seconds: 601 is more than 600 seconds"),
        ({"left_out": 2}, "left_out: 2 is not a share between 0 and 1"),
    ],
)
def test_what_is_no_fault_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidFaults, match=message):
        Faults.of(**values)


@given(
    st.dictionaries(
        st.sampled_from(sorted(FaultKind)),
        st.floats(0.01, 1)
        | st.fixed_dictionaries(
            {"share": st.floats(0.01, 1)},
            optional={
                "methods": st.just(["PUT"]),
                "endpoints": st.just(["batch"]),
                "times": st.integers(0, 9),
            },
        ),
    ),
    st.fixed_dictionaries({}, optional={"latency": st.floats(0, 9), "batch_ids": st.just(["a"])}),
)
def test_faults_read_back_from_their_json_are_the_same(
    shares: dict[str, Any], options: dict[str, Any]
) -> None:
    faults = Faults.of(**shares, **options)
    assert Faults.of(**faults.to_json()) == faults
