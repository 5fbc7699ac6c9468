import logging

from ugc_etl.outage import Outage


def test_an_outage_is_said_at_once_then_once_a_minute_then_when_it_is_over(caplog):
    caplog.set_level(logging.INFO)
    outage = Outage("the sink", logging.getLogger("test"))
    outage.worked(0.0)
    for second in range(100, 230):
        outage.failed("no route", float(second))
    outage.worked(230.0)
    outage.worked(231.0)
    assert [record.getMessage() for record in caplog.records] == [
        "the sink: no route; trying again",
        "the sink for 60 s: no route",
        "the sink for 120 s: no route",
        "the sink: over after 130 s",
    ]
