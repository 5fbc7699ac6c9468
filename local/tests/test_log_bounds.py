from ugc_local.log_bounds import bound, earlier


def test_a_short_log_stays_and_a_long_one_is_moved(tmp_path):
    log = tmp_path / "etl.log"
    bound(log, 10)
    assert not log.exists()
    log.write_text("short\n")
    bound(log, 10)
    assert log.read_text() == "short\n"
    assert not earlier(log).exists()
    log.write_text("one line too long\n")
    bound(log, 10)
    assert log.read_text() == ""
    assert earlier(log).read_text() == "one line too long\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["etl.log", "etl.log.1"]


def test_a_writer_goes_on_at_the_new_end(tmp_path):
    log = tmp_path / "etl.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"before, and long\n")
        bound(log, 10)
        writer.write(b"after\n")
    assert log.read_bytes() == b"after\n"


def test_where_no_copy_can_be_kept_the_log_is_cut_all_the_same(tmp_path):
    log = tmp_path / "etl.log"
    log.write_text("one line too long\n")
    earlier(log).mkdir()
    bound(log, 10)
    assert log.read_text() == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["etl.log", "etl.log.1"]
