"""The workflow does what docs/install.md tells people to do, by programs that cannot change."""

import re
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[2]
WORKFLOW = REPOSITORY / ".github" / "workflows" / "kubernetes.yml"
COMMIT = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")


def steps() -> list[dict[str, str]]:
    jobs = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def test_actions_are_named_by_their_commits() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used
    assert [action for action in used if not COMMIT.fullmatch(action)] == []


def test_everything_is_erased_as_the_page_says() -> None:
    page = (REPOSITORY / "docs" / "install.md").read_text("utf-8")
    block = page.split("## Erase everything")[1].split("```sh\n")[1].split("```")[0]
    commands = [" ".join(c.replace("\\\n", " ").split()) for c in block.split("&&")]
    (erased,) = (step["run"] for step in steps() if step.get("name") == "Erase everything")
    lines = erased.splitlines()
    assert len(commands) > 3
    assert lines[: len(commands)] == commands


def test_the_platform_is_installed_as_the_page_says() -> None:
    page = (REPOSITORY / "docs" / "install.md").read_text("utf-8")
    block = page.split("## Kind")[1].split("```sh\n")[1].split("```")[0]
    strimzi, cinema = (line for line in block.splitlines() if line.startswith("helm install"))
    run = {step.get("name"): step.get("run", "") for step in steps()}
    assert run["Install"].strip() == cinema
    chart, version = strimzi.split()[3], strimzi.split("--version ")[1].split()[0]
    assert chart in run["Strimzi"]
    environ = yaml.safe_load(WORKFLOW.read_text("utf-8"))["env"]
    assert environ["STRIMZI"] == version
