"""The vendor's key goes to the vendor, and appears in no log, page, traceback or database row."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, RequestFactory
from django.views.debug import ExceptionReporter, technical_500_response
from pytest_django import Settings

from batchops.logs import JsonFormatter
from batchops.models import SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services import vendor
from batchops.services.mirror import sync
from batchops.services.push import driver
from batchops.services.runs import read_back
from batchops.syllable.errors import SyllableError
from batchops.syllable.patch import BatchPatch
from tests.services.push.world import confirmed

KEY = "distinctive'<key>&-4f9b2c71d0"
HEART = "4f9b2c71d0"
"""Found in whatever form the key is written."""
NOBODY_LISTENS = "http://127.0.0.1:9"
MOST_PAGES = 150

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world(settings: Settings) -> Iterator[EmbeddedSandbox]:
    """A vendor that accepts the distinctive key alone, with three batches."""
    with EmbeddedSandbox(key=KEY) as sandbox:
        settings.SYLLABLE_API_KEY = KEY
        settings.SYLLABLE_BASE_URL = sandbox.url
        for number in range(3):
            sandbox.add_batch(
                batch_id=f"20261124.{number}", campaign_id=1, status="ACTIVE", paused=False
            )
        yield sandbox


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that any library logs, at the level DEBUG."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    names = ("", "batchops", "django", "huey", "urllib3", "requests")
    levels = {name: logging.getLogger(name).level for name in names}
    root.addHandler(handler)
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def live_through_good_and_bad(world: EmbeddedSandbox, user: User, settings: Settings) -> None:
    """A sync and a change that go well, then a rejected key and a vendor that is not there."""
    sync.run_sync(SyncRun.Kind.FULL)
    _pause(user)
    assert world.batch("20261124.0")["paused"] is True

    world.set_faults(unauthorized=1.0)
    _fail_to_sync()
    _pause(user, paused=False)
    world.clear_faults()

    settings.SYLLABLE_BASE_URL = NOBODY_LISTENS
    _fail_to_sync()


def _pause(user: User, *, paused: bool = True) -> None:
    change = confirmed(user, BatchPatch(paused=paused))
    driver.drive()
    read_back.read_back(change)


def _fail_to_sync() -> None:
    try:
        sync.run_sync(SyncRun.Kind.FULL)
    except SyllableError:
        logging.getLogger("batchops.tests").exception("As expected.")
    else:
        pytest.fail("The sync was meant to fail.")


def all_rows() -> str:
    """Every row of every table, as text."""
    with connection.cursor() as cursor:
        rows = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            rows += cursor.fetchall()
    return "\n".join(map(str, rows))


def all_pages(client: Client) -> Iterator[tuple[str, str]]:
    """Every page that a person gets to by following links from the first one."""
    waiting = ["/", "/healthz", "/readyz"]
    seen: set[str] = set()
    while waiting and len(seen) < MOST_PAGES:
        address = waiting.pop(0)
        if address in seen:
            continue
        seen.add(address)
        response = client.get(address, follow=True)
        text = b"".join(response).decode(errors="replace")
        yield address, text
        links = re.findall(r'href="(/[^"#]*)', text)
        waiting += [link.replace("&amp;", "&") for link in links if "/static/" not in link]


def test_after_good_and_bad_days_no_log_page_or_row_has_it(
    world: EmbeddedSandbox,
    log: io.StringIO,
    administrator: User,
    settings: Settings,
    client: Client,
) -> None:
    live_through_good_and_bad(world, administrator, settings)

    client.force_login(administrator)
    pages = dict(all_pages(client))
    assert len(pages) > 10
    assert [address for address, text in pages.items() if HEART in text] == []

    rows = all_rows()
    assert "20261124.0" in rows
    assert HEART not in rows

    assert "As expected." in log.getvalue()
    assert "Traceback" in log.getvalue()
    assert HEART not in log.getvalue()


def test_no_error_page_for_developers_has_it(rf: RequestFactory, settings: Settings) -> None:
    settings.DEBUG = True
    settings.SYLLABLE_API_KEY = KEY
    try:
        _with_the_key_among_the_local_variables(f"Syllable-API-Key: {KEY}")
    except ZeroDivisionError:
        error = sys.exc_info()
    # Django's own reporter hides what has a telling name, and shows the rest.
    assert HEART in ExceptionReporter(rf.get("/"), *error).get_traceback_html()
    for accept in ("text/html", "text/plain"):
        page = technical_500_response(rf.get("/", headers={"Accept": accept}), *error)
        assert HEART not in page.content.decode()
        assert "Traceback" in page.content.decode()


def test_an_error_on_the_way_to_the_vendor_has_it_in_no_frame(
    rf: RequestFactory, settings: Settings
) -> None:
    settings.DEBUG = True
    settings.SYLLABLE_API_KEY = KEY
    settings.SYLLABLE_BASE_URL = NOBODY_LISTENS
    with pytest.raises(SyllableError) as raised:
        vendor.client().get_batch("20261124.0")
    page = technical_500_response(rf.get("/"), raised.type, raised.value, raised.tb)
    assert HEART not in page.content.decode()


def _with_the_key_among_the_local_variables(header: str) -> float:
    return len(header) / 0
