"""The commands beside a running ETL."""

import pytest
from samples import view
from stores import eventually, running_etl
from ugc_events import encode_record

pytestmark = pytest.mark.integration


def test_an_audit_of_what_consumers_wrote_is_exact_and_the_erased_stay_away(stage, tmp_path):
    stage.environ["INSERT_DEADLINE_S"] = "10"
    stage.environ["INSERT_TIMEOUT_S"] = "5"
    user = view(0).user_id
    values = stage.views(500)
    values[7] = b"{"
    stage.produce(values)
    stage.produce(stage.views(20), 1)

    def audited(offsets):
        code, report = stage.audit("--topic", stage.topic)
        total = report["total"]
        return code == 0 and total["offsets"] == offsets and total

    with running_etl(stage.environ, tmp_path / "etl.log") as etl:
        total = eventually(lambda: audited(520), every_s=0.5)
        assert (total["rows"], total["dead_letters"]) == (519, 1)
        code, output, errors = stage.run("erase", "--user", str(user), "--apply")
        assert code == 0, output + errors
        # Records from before the erasure that come late, as from a producer with a full buffer.
        stage.produce([encode_record(view(5 * n, stage.now_ms)) for n in range(30)])
        stage.produce(stage.views(1, first=3))
        total = eventually(lambda: audited(551), every_s=0.5)
        assert total["rows"] == 519 - 104 + 1
        assert total["erased"] == 104 + 30
        assert stage.count("views", f"user_id = '{user}'") == 0
        # A replay does not bring them back.
        code, output, errors = stage.run(
            "replay", "--topic", stage.topic, "--apply", "--per-second", "100"
        )
        assert code == 0, output + errors
        assert audited(551)["rows"] == 519 - 104 + 1
        assert stage.count("views", f"user_id = '{user}'") == 0
        assert stage.count("views", "_generation = 0") == 0
        # New records go on as the live generation.
        stage.produce(stage.views(3, first=6))
        total = eventually(lambda: audited(554), every_s=0.5)
        assert total["rows"] == 519 - 104 + 4
        assert etl.stop() == 0, etl.log.read_text()
