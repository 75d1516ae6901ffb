"""Three graphs with loops, in Orquesta's language: polling, a retry made of transitions, and a fork and a join in the loop."""

MONITORING_LOOP = """\
version: 1.0
description: Poll a health check until it reports done, at most max_checks times; leave the loop on done, on give-up or on error.
input:
  - max_checks: 5
  - interval: 0
vars:
  - checks: 0
  - state: unknown
tasks:
  init:
    action: core.noop
    next:
      - do: check_health
  check_health:
    delay: <% ctx().interval %>
    action: monitoring.check
    next:
      - when: <% succeeded() and result().state = "done" %>
        publish:
          - checks: <% ctx().checks + 1 %>
          - state: done
        do: report
      - when: <% succeeded() and result().state != "done" and ctx().checks + 1 < ctx().max_checks %>
        publish:
          - checks: <% ctx().checks + 1 %>
          - state: <% result().state %>
        do: check_health
      - when: <% succeeded() and result().state != "done" and ctx().checks + 1 >= ctx().max_checks %>
        publish:
          - checks: <% ctx().checks + 1 %>
          - state: gave_up
        do: report, fail
  report:
    action: core.echo message="<% ctx().state %> after <% ctx().checks %>"
output:
  - state: <% ctx().state %>
  - checks: <% ctx().checks %>
"""
RETRY_WITH_CYCLE = """\
version: 1.0
description: A retry made of graph edges (with a repair step between the attempts), as against the retry policy of a task.
input:
  - max_attempts: 3
vars:
  - attempt: 0
tasks:
  init:
    action: core.noop
    next:
      - do: work
  work:
    action: core.work
    next:
      - when: <% succeeded() %>
        do: done
      - when: <% failed() and ctx().attempt + 1 < ctx().max_attempts %>
        publish:
          - attempt: <% ctx().attempt + 1 %>
        do: repair
      - when: <% failed() and ctx().attempt + 1 >= ctx().max_attempts %>
        publish:
          - attempt: <% ctx().attempt + 1 %>
        do: continue
  repair:
    action: core.repair
    next:
      - when: <% succeeded() %>
        do: work
  done:
    action: core.noop
output:
  - attempt: <% ctx().attempt %>
"""
CONDITIONAL_LOOP = """\
version: 1.0
description: A three-task cycle (fetch, process, decide) with a fork and a join inside the loop, left when there is no more work.
vars:
  - page: 0
  - seen: []
tasks:
  init:
    action: core.noop
    next:
      - do: fetch
  fetch:
    action: core.fetch
    next:
      - when: <% succeeded() %>
        publish:
          - batch: <% result().items %>
          - more: <% result().more %>
        do: process, audit
  process:
    action: core.process
    next:
      - when: <% succeeded() %>
        publish:
          - seen: <% ctx().seen + ctx().batch %>
        do: decide
  audit:
    action: core.audit
    next:
      - when: <% succeeded() %>
        do: decide
  decide:
    join: all
    action: core.noop
    next:
      - when: <% ctx().more %>
        publish:
          - page: <% ctx().page + 1 %>
        do: fetch
      - when: <% not ctx().more %>
        do: complete
  complete:
    action: core.noop
output:
  - page: <% ctx().page %>
  - seen: <% ctx().seen %>
"""
