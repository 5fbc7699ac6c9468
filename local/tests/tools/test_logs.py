import pytest
from ugc_local.log_bounds import bound
from ugc_local.tools.logs import Line, LogError, choose, find_logs, follow, last_lines, tail


@pytest.fixture
def data_dir(tmp_path):
    for name in ("kafka/kafka", "logs/api", "logs/etl-1"):
        log = tmp_path / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        log.write_text("".join(f"{log.stem} {n}\n" for n in range(1, 4)))
    return tmp_path


def test_logs_are_found_and_chosen_by_name(data_dir):
    assert list(find_logs(data_dir)) == ["kafka", "api", "etl-1"]
    assert list(choose(data_dir, ["etl-1", "kafka"])) == ["kafka", "etl-1"]
    with pytest.raises(LogError, match=r"no log of etl-9 in .*: there are kafka, api, etl-1"):
        choose(data_dir, ["kafka", "etl-9"])
    with pytest.raises(LogError, match="nothing was ever started there"):
        choose(data_dir / "other", [])


def test_the_last_lines_of_each(data_dir):
    lines = list(tail(choose(data_dir, []), 2))
    assert lines[:2] == [Line("kafka", "kafka 2"), Line("kafka", "kafka 3")]
    assert len(lines) == 6
    assert list(tail(choose(data_dir, []), 0)) == []


def test_last_lines_are_whole_ones_of_a_long_file(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"".join(b"%07d\n" % n for n in range(300_000)) + b"half a l")
    lines, offset = last_lines(log, 1_000_000)
    assert lines[-1] == "0299999"
    assert all(len(line) == 7 for line in lines)
    assert offset == 300_000 * 8
    assert last_lines(log, 2)[0] == ["0299998", "0299999"]


class Writing:
    """In the place of a pause: what happens next, and an end."""

    def __init__(self, *deeds):
        self.deeds = list(deeds)

    def __call__(self, _seconds):
        if not self.deeds:
            raise KeyboardInterrupt
        self.deeds.pop(0)()


def followed(data_dir, names, *deeds) -> list[Line]:
    found = []
    try:
        for line in follow(data_dir, names, 1, Writing(*deeds)):
            found.append(line)  # noqa: PERF402 - it ends by an exception
    except KeyboardInterrupt:
        return found


def append(path, text):
    with path.open("a") as file:
        file.write(text)


def test_following_shows_what_is_written_and_new_processes(data_dir):
    api, new = data_dir / "logs" / "api.log", data_dir / "logs" / "etl-2.log"
    lines = followed(
        data_dir,
        [],
        lambda: append(api, "half "),
        lambda: append(api, "a line\nand"),
        lambda: append(new, "hello\n"),
    )
    assert lines == [
        *(Line("kafka", "kafka 3"), Line("api", "api 3"), Line("etl-1", "etl-1 3")),
        *(Line("api", "half a line"), Line("etl-2", "hello")),
    ]


def test_following_goes_through_a_cut_and_a_replacement(data_dir):
    api = data_dir / "logs" / "api.log"

    def cut():
        append(api, "just before the cut\n")
        bound(api, 0)
        append(api, "behind it\n")

    def replace():
        api.rename(api.with_suffix(".old"))
        api.write_text("another file\n")

    lines = followed(data_dir, ["api"], lambda: append(api, "a\n" * 50), cut, replace)
    texts = [line.text for line in lines]
    assert texts[0] == "api 3"
    assert texts[51:] == ["just before the cut", "behind it", "another file"]
