"""The release: all goes well, tests that get better, tests that fail, a hotfix, a release begun again."""

from __future__ import annotations

import pytest

from examples.release import release
from jetrun.client import Client, RunFailed
from support.story import scheduled


async def test_lint_and_test_run_side_by_side(client: Client) -> None:
    """Both wait for the build; the push waits for both, the message for one of them."""
    run = await client.start(release.call(commit="4f2a"), run_id="rel-1")

    assert await run.result() == {"pushed": "registry/app:4f2a@latest", "tests": 214}
    steps = scheduled(await run.events())
    assert steps[:3] == ["build_image", "lint_code", "run_checks"]
    assert sorted(steps[3:]) == ["announce_release", "push_image"]


async def test_a_failed_check_blocks_the_push_and_is_begun_again(client: Client) -> None:
    """What does not depend on it is finished; the failure names the step and what it blocks."""
    run = await client.start(release.call(commit="77ab", tests_fail_at=1), run_id="rel-2")
    with pytest.raises(RunFailed) as failed:
        await run.result()

    assert failed.value.error.message.endswith("registry/app:77ab does not work; blocked: push_image (by run_checks)")
    assert failed.value.output == {"pushed": None, "tests": None}
    assert sorted(scheduled(await run.events())) == ["announce_release", "build_image", "lint_code", "run_checks"]

    again = await run.rerun("run_checks", run_id="rel-3")
    with pytest.raises(RunFailed):
        await again.result()
    assert scheduled(await again.events()) == ["run_checks"]


@pytest.mark.slow
async def test_checks_are_tried_again(client: Client) -> None:
    """`retry=3` with the default back-off of steps."""
    run = await client.start(release.call(commit="90cd", tests_fail_at=2), run_id="rel-4")

    assert (await run.result())["tests"] == 214


async def test_a_hotfix_is_not_linted(client: Client) -> None:
    """A skipped step counts as satisfied."""
    run = await client.start(release.call(commit="hotfix"), run_id="rel-5")
    await run.result()

    assert (await run.graph()).tasks["lint_code"].state == "skipped"
    assert "lint_code" not in scheduled(await run.events())
