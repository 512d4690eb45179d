"""One lab for each test module; the logs of its nodes in the report of a test that failed."""

import signal

import pytest

from lab import BUILD, Lab

def pytest_sessionstart():
    # `timeout` ends us with SIGTERM: fixtures must still be torn down.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated"))


@pytest.fixture(scope="module")
def whole_lab(request):
    """Three nodes under real daemons. A module may set DCS, OUTSIDERS and VOLUMES, see Lab."""
    if not (BUILD / "pgbaton").exists():
        pytest.fail(f"{BUILD / 'pgbaton'} is not built", pytrace=False)
    options = {
        name: getattr(request.module, name.upper())
        for name in ("dcs", "outsiders", "volumes")
        if hasattr(request.module, name.upper())
    }
    with Lab(**options) as lab:
        lab.start()
        yield lab


@pytest.fixture
def lab(whole_lab):
    """The module's lab with no fault in it: whole again after what the last test did."""
    whole_lab.recover()
    return whole_lab


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    report = (yield).get_result()
    if report.failed and Lab.current is not None:
        report.sections.extend(Lab.current.logs())
