"""Definitions in Orquesta's language, written for these tests: each of its features, in each of its forms."""

ORQUESTA = {
    "the least": "tasks: {one: null}",
    "version as a number": "version: 1.0\ntasks: {one: {action: core.noop}}",
    "version as a text": "version: '1.0'\ntasks: {one: {action: core.noop}}",
    "version as a whole number": "version: 1\ntasks: {one: {action: core.noop}}",
    "meta": "version: 1.0\nname: say_hello\ndescription: greets\ntags: [a, b]\ntasks: {one: {action: core.noop}}",
    "input with defaults": """
version: 1.0
input:
  - who
  - greeting: hello
  - times: 3
  - options: {loud: true, tags: [a, b]}
  - text: <% ctx().greeting %>, <% ctx().who %>
tasks:
  say: {action: core.echo message=<% ctx().text %>}
""",
    "vars of all types": """
vars:
  - a: 1
  - b: 1.5
  - c: true
  - d: null
  - e: [1, 2]
  - f: {x: {y: 1}}
  - g: <% ctx().a + 1 %>
tasks: {one: {action: core.noop}}
output:
  - a: <% ctx().a %>
  - deep: {list: [<% ctx().b %>, "and <% ctx().c %>"]}
  - again: <% ctx().deep %>
""",
    "sequence": """
tasks:
  one:
    action: core.noop
    next:
      - when: <% succeeded() %>
        do: two
  two:
    action: core.noop
    next:
      - do: three
  three:
    action: core.noop
""",
    "inline input": """
vars: [{who: me}]
tasks:
  one:
    action: core.local cmd="echo <% ctx().who %> | tr a-z A-Z" timeout=10 sudo=true
    next: [{do: two}]
  two:
    action: core.echo message="it's fine", repeat=2; loud=FALSE
""",
    "action by expression": """
input: [command, pack]
tasks:
  one:
    action: <% ctx().command %>
    next: [{do: two}]
  two:
    action: <% ctx(pack) %>.run
    input: <% dict(command => ctx().command) %>
""",
    "input by expression": """
input: [arguments]
tasks: {one: {action: core.local, input: <% ctx().arguments %>}}
""",
    "input with nulls": "tasks: {one: {action: core.local, input: {cmd: null, env: {A: b}, n: [1]}}}",
    "jinja": """
input: [name]
vars:
  - greeting: "Hello {{ ctx().name }}"
tasks:
  one:
    action: core.echo message="{{ ctx('greeting') }}"
    next:
      - when: "{{ succeeded() and result() == 'x' }}"
        publish:
          - said: "{{ result() }}"
        do: two
      - when: "{{ failed() }}"
        publish: said="nothing" why="{{ result() }}"
        do: [two]
  two: {action: core.noop}
output:
  - said: "{{ ctx().said }}"
""",
    "decision": """
input: [kind]
tasks:
  choose:
    next:
      - when: <% ctx().kind = 'a' %>
        do: a
      - when: <% ctx().kind = 'b' %>
        do: b
      - when: <% not (ctx().kind in list(a, b)) %>
        do: other
  a: {action: core.noop}
  b: {action: core.noop}
  other: {action: core.noop}
""",
    "publish forms": """
tasks:
  one:
    action: core.noop
    next:
      - publish: a=1 b="two" c=<% result() %> d={{ result() }}
        do: two
  two:
    next:
      - publish:
          - a: <% ctx().a + 1 %>
          - e: <% ctx().a %>
          - f: {x: <% ctx().e %>}
        do: three
  three:
    next:
      - publish: {g: 1, h: 2}
output: [{all: [<% ctx().a %>, <% ctx().g %>]}]
""",
    "do forms": """
tasks:
  one: {next: [{do: "two, three"}, {do: [four, five]}, {do: noop}, {do: continue}, {publish: x=1}, {when: <% failed() %>}]}
  two:
  three:
  four:
  five: {}
""",
    "fork and join all": """
tasks:
  setup_task:
    next:
      - do: [left, right]
  left: {action: core.noop, next: [{when: <% succeeded() %>, do: barrier}]}
  right: {action: core.noop, next: [{when: <% succeeded() %>, do: barrier}]}
  barrier: {join: all, action: core.noop}
""",
    "join by count": """
tasks:
  setup_task: {next: [{do: "a, b, c"}]}
  a: {action: core.noop, next: [{when: <% succeeded() %>, do: barrier}]}
  b: {action: core.noop, next: [{when: <% succeeded() %>, do: barrier}]}
  c: {action: core.noop, next: [{when: <% succeeded() %>, do: barrier}]}
  barrier: {join: 2, action: core.noop}
""",
    "join zero": "tasks: {a: {next: [{do: b}]}, b: {join: 0}}",
    "join on failures": """
tasks:
  a: {action: core.noop, next: [{when: <% failed() %>, do: c}, {when: <% succeeded() %>, do: c}]}
  b: {action: core.noop, next: [{when: <% completed() %>, do: c}]}
  c: {join: all, next: [{do: d}]}
  d: {action: core.noop}
""",
    "split": """
tasks:
  a: {next: [{do: "b, c"}]}
  b: {next: [{do: d}]}
  c: {next: [{do: d}]}
  d: {action: core.noop, next: [{do: "e, f"}]}
  e: {next: [{do: g}]}
  f: {next: [{do: g}]}
  g: {join: all}
""",
    "several entries": "tasks: {a: {next: [{do: c}]}, b: {next: [{do: c}]}, c: {join: all}}",
    "two transitions to one task": """
tasks:
  a: {action: core.noop, next: [{when: <% succeeded() %>, do: b}, {when: <% result() = 1 %>, do: b}]}
  b: {action: core.noop}
""",
    "error handling": """
vars: [{why: null}]
tasks:
  a:
    action: core.noop
    next:
      - when: <% succeeded() %>
        do: b
      - when: <% failed() %>
        publish: why=<% result() %>
        do: [cleanup, fail]
  b: {action: core.noop, next: [{when: <% failed() %>, do: noop}]}
  cleanup: {action: core.noop}
output: [{why: <% ctx().why %>}]
""",
    "fail alone": "tasks: {a: {action: core.noop, next: [{when: <% failed() %>, publish: {x: 1}, do: fail}]}}",
    "continue": "tasks: {a: {action: core.noop, next: [{when: <% failed() %>, publish: x=1, do: continue}]}}",
    "cycle": """
vars: [{count: 0}]
tasks:
  prep: {next: [{do: one}]}
  one: {action: core.noop, next: [{do: two}]}
  two:
    action: core.noop
    next:
      - when: <% ctx().count < 3 %>
        publish: count=<% ctx().count + 1 %>
        do: one
      - when: <% ctx().count >= 3 %>
        do: noop
""",
    "self loop": """
tasks:
  init: {next: [{do: poll}]}
  poll:
    action: core.noop
    delay: 3
    next:
      - when: <% succeeded() and result() = 'busy' %>
        do: poll
""",
    "join in a loop": """
vars: [{n: 0}]
tasks:
  init: {next: [{do: fork}]}
  fork: {next: [{do: [a, b]}]}
  a: {action: core.noop, next: [{do: both}]}
  b: {action: core.noop, next: [{do: mid}]}
  mid: {action: core.noop, next: [{do: both}]}
  both:
    join: all
    next:
      - when: <% ctx().n < 2 %>
        publish: n=<% ctx().n + 1 %>
        do: fork
""",
    "retry": """
input: [times, pause]
tasks:
  a: {action: core.noop, retry: {count: 3}, next: [{do: b}]}
  b: {action: core.noop, retry: {count: 3, delay: 1, when: <% failed() %>}, next: [{do: c}]}
  c: {action: core.noop, retry: {count: <% ctx().times %>, delay: <% ctx().pause %>, when: "{{ result().status_code != 200 }}"}}
""",
    "retry as a target": """
tasks:
  a: {action: core.noop, next: [{when: <% failed() %>, do: retry}, {when: <% succeeded() %>, do: b}]}
  b: {action: core.noop, next: [{do: [retry, c]}]}
  c: {action: core.noop}
""",
    "queries": """
input: [machines, zones, tag, version: 1.4.2]
vars:
  - chosen: <% ctx().machines.where($.zone in ctx().zones and not $.off).select($.id) %>
  - by_name: <% dict(ctx().machines.select([$.name, $])) %>
  - labels: <% ctx().machines.select($.name + '@' + coalesce($.zone, nowhere)).join(', ') %>
  - words: <% 'a, b ,c'.split(',').select($.trim()) %>
  - disks: <% ctx().machines.selectMany($.disks).distinct() %>
  - tagged: <% switch(isEmpty(ctx().tag) => none, true => ctx().tag) %>
  - minor: <% ctx().version.substring(0, ctx().version.lastIndexOf('.')) %>
  - options: <% dict(a => 1) + dict(b => ctx().tag) %>
tasks:
  stop:
    with: id in <% ctx().chosen %>
    action: machines.stop id=<% item(id) %> labels=<% ctx().labels %>
    next:
      - when: <% succeeded() and ctx().chosen.any() and result().all($.stopped) %>
        publish: ids=<% result().select($.id) %> first=<% ctx().machines.first().get(name, 'none') %>
        do: report
      - when: <% failed() or result().where($.stopped = false).len() > 0 %>
        do: [report, fail]
  report:
    action: core.echo
    input: {message: "{{ ctx().machines | where(each.off) | select(each.name) | list | join(', ') }}"}
""",
    "delay": "input: [d: 5]\ntasks: {a: {action: core.noop, delay: <% ctx().d %>, next: [{do: b}]}, b: {delay: 0}}",
    "items": """
input: [xs, ys]
tasks:
  a:
    with: <% ctx(xs) %>
    action: core.echo message=<% item() %>
    next: [{when: <% succeeded() %>, publish: {out: <% result() %>}, do: b}]
  b:
    with: x in <% ctx(xs) %>
    action: core.echo message=<% item(x) %>
    next: [{do: c}]
  c:
    with: x, y in <% zip(ctx(xs), ctx(ys)) %>
    action: core.echo message=<% item(x) %>, other=<% item(y) %>
    next: [{do: d}]
  d:
    with: {items: "x,y in {{ zip(ctx('xs'), ctx('ys')) }}", concurrency: 2}
    action: core.echo message="{{ item('x') }} and {{ item('y') }}"
    next: [{do: e}]
  e:
    with:
      items: i in <% ctx(out) %>
      concurrency: <% ctx(xs).len() %>
    action: core.echo
    input: {message: <% item(i) %>}
""",
    "status of another task": """
tasks:
  a: {action: core.noop, next: [{do: b}]}
  b: {action: core.noop, next: [{when: <% task_status(a) = "succeeded" %>, do: c}]}
  c: {action: core.noop}
""",
    "tasks in any order": """
tasks:
  last: {join: all}
  second: {next: [{do: last}]}
  first: {next: [{do: [second, third]}]}
  third: {next: [{do: last}]}
""",
    "unicode values": 'tasks: {a: {action: core.echo message="käse 💩", next: [{publish: s="ü"}]}}',
    "names that YAML would change": "tasks: {yes: {next: [{do: 'no'}]}, no: {action: core.noop}}",
}
