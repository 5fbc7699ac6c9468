from ugc_etl.dead_letter_limit import BadRun, DeadLetterLimit


def test_a_long_run_of_mostly_bad_records_passes_the_limit_however_it_is_cut():
    run = BadRun(DeadLetterLimit(letters=10, share=0.5))
    assert [run.exceeds(2, 2) for _ in range(6)] == [False] * 5 + [True]


def test_single_bad_records_among_good_ones_never_do():
    run = BadRun(DeadLetterLimit(letters=10, share=0.5))
    assert not any(run.exceeds(100, 40) for _ in range(100))


def test_a_run_ends_when_good_records_outweigh_it():
    run = BadRun(DeadLetterLimit(letters=10, share=0.5))
    assert not run.exceeds(9, 9)
    assert not run.exceeds(9, 0)
    assert not run.exceeds(9, 9)


def test_the_share_decides_what_a_bad_run_is():
    tenth = BadRun(DeadLetterLimit(letters=10, share=0.1))
    assert [tenth.exceeds(10, 2) for _ in range(6)] == [False] * 5 + [True]
    whole = BadRun(DeadLetterLimit(letters=10, share=1.0))
    assert not any(whole.exceeds(10, 10) for _ in range(10))
