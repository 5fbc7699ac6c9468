from ugc_etl.protocol.hunt import Hunt
from ugc_etl.protocol.intent import Intent


def intent(start, end, attempt=0):
    return Intent(
        start=start, end=end, attempt=attempt, shard=0, table="t", decoder="d", insert_by_s=1
    )


def hunted(start, end, poison):
    """(start, end) of every intent until the end; the condemned offsets."""
    refused = intent(start, end)
    hunt = Hunt.begin(refused, 1, None)
    tried, condemned, offset = [], [], start
    while hunt is not None:
        stop = hunt.clamp(offset, end)
        piece = intent(offset, stop, hunt.attempt)
        tried.append((offset, stop))
        if hunt.condemns(offset):
            condemned.append(offset)
            hunt, offset = hunt.succeeded(piece), stop
        elif poison & set(range(offset, stop)):
            hunt = Hunt.begin(piece, piece.attempt + 1, hunt)
        else:
            hunt, offset = hunt.succeeded(piece), stop
    assert offset == end
    return tried, condemned


def test_it_condemns_exactly_the_records_at_fault():
    for poison in ({0}, {19}, {7}, {3, 4}, {0, 9, 19}, set(range(20))):
        assert hunted(0, 20, poison)[1] == sorted(poison)


def test_it_takes_a_number_of_inserts_that_grows_with_the_logarithm():
    tried, condemned = hunted(0, 20_000, {12_345})
    assert condemned == [12_345]
    assert len(tried) < 60
