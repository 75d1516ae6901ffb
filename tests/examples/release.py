"""A dependency graph, built in Python: build, then lint and test side by side, then tell whoever waits.

Lint and test do not wait for each other. The image is pushed once both are done; the team is told as soon as one of
them is. Where the tests fail, the push is blocked and the rest is finished; mend it, and begin again from there.

Try it:
    wfctl dev -m tests.examples.release
    wfctl start release --kwargs '{"commit": "4f2a"}' --run-id rel-1 --wait
    wfctl graph show release/rel-1
    wfctl graph draw --run release/rel-1
    wfctl start release --kwargs '{"commit": "4f2a", "tests_fail_at": 1}' --run-id rel-2 --wait
    wfctl graph rerun release/rel-2 --task run_checks --wait
"""

from __future__ import annotations

from jetrun.actors import FatalError, Graph, attempt, step


@step
async def build_image(commit: str) -> dict[str, str]:
    """Stands for a build."""
    return {"image": f"registry/app:{commit}"}


@step
async def lint_code(commit: str) -> int:
    """Stands for a linter; finds nothing."""
    return 0


@step
async def run_checks(image: str, fail_at: int) -> int:
    """Stands for tests. `fail_at` of 1 is a suite that fails for good, of more one that gets better."""
    number = attempt().number
    if fail_at == 1:
        raise FatalError(f"{image} does not work")
    if number < fail_at:
        raise ConnectionError("the test database is not there")
    return 214


@step
async def announce_release(text: str) -> str:
    """Stands for a message to the team."""
    return text


@step
async def push_image(image: str) -> str:
    """Stands for a push."""
    return f"{image}@latest"


release = (
    Graph("release")
    .input("commit")
    .input("tests_fail_at", default=0)
    .step(build_image, input={"commit": "{{ ctx.commit }}"})
    .step(lint_code, after=[build_image], input={"commit": "{{ ctx.commit }}"}, run_if="{{ ctx.commit != 'hotfix' }}")
    .step(
        run_checks,
        after=[build_image],
        input={"image": "{{ ctx.build_image.image }}", "fail_at": "{{ ctx.tests_fail_at }}"},
        retry=3,
    )
    .step(announce_release, after_any=[lint_code, run_checks], input={"text": "{{ ctx.commit }} is checked"})
    .step(push_image, after=[lint_code, run_checks], input={"image": "{{ ctx.build_image.image }}"})
    .output(pushed="{{ default(ctx.push_image, none) }}", tests="{{ default(ctx.run_checks, none) }}")
    .limits(duration="2h")
)
