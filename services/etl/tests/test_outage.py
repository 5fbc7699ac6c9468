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


def test_what_is_over_soon_is_no_news(caplog):
    caplog.set_level(logging.INFO)
    outage = Outage("commits", logging.getLogger("test"), tolerated_s=5.0)
    for start_s in (100.0, 200.0):
        outage.failed("rebalance", start_s)
        outage.failed("rebalance", start_s + 4.9)
        outage.worked(start_s + 5.0)
    assert caplog.records == []
    outage.failed("no broker", 300.0)
    outage.failed("no broker", 305.0)
    outage.worked(306.0)
    assert [record.getMessage() for record in caplog.records] == [
        "commits: no broker; trying again",
        "commits: over after 6 s",
    ]
