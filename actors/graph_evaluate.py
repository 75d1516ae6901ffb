"""Compiles an expression to closures: Jinja's parser makes the tree, this file alone decides what each node may do.

A node type that is not in the table is refused. `.` and `[]` look into JSON data and nothing else, so that no object of
Python can be reached; a name is one of `graph_names.py`, a call or filter one of `graph_functions.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import lru_cache
from typing import Final, cast

from jinja2 import Environment, TemplateSyntaxError, nodes

from .graph_closures import Program, applied, coalesce, constant, default, is_defined, key, keyed, look_up, placed, two
from .graph_each import EACH, PER_ELEMENT, element, per_element
from .graph_foreign import FOREIGN
from .graph_functions import FUNCTIONS, SIMPLE, Function
from .graph_names import KEYED, PRIVATE, READERS, Node, part, private_reason, variable
from .graph_operators import ARITHMETIC, COMPARISON, cut, keep_sign, negate
from .graph_tests import TESTS
from .graph_tokens import Token, checked
from .graph_values import counted, kind, written
from .graph_values import kind as kind_of
from .graph_view import Budget, ExpressionError, ExpressionInvalid, Undefined, View, shown
from .limits import GRAPH_PROGRAMS_MAX

_ENVIRONMENT: Final = Environment(  # noqa: S701 - nothing is rendered: only the parser is used
    variable_start_string="\x02",
    variable_end_string="\x03",
    block_start_string="\x04",
    block_end_string="\x05",
    comment_start_string="\x06",
    comment_end_string="\x07",
    optimized=False,
)
"""No token has a control character, so nothing within a source can end the expression that it is wrapped as."""

_CATCHING: Final = frozenset({"coalesce", "default", "defined"})
"""Functions that look at what is undefined."""
_BY_NAME: Final = frozenset({"all", "any", "filter", "map"})
"""Functions that take the name of one."""
_CONSTANTS: Final = {"null": None}
_BINARY: Final[dict[str, str]] = {
    "Add": "+",
    "Sub": "-",
    "Mul": "*",
    "Div": "/",
    "FloorDiv": "//",
    "Mod": "%",
    "Pow": "**",
}

NAMES: Final = frozenset({*FUNCTIONS, *READERS, *KEYED, *_CATCHING, *PER_ELEMENT})
"""All names that an expression can call."""


@lru_cache(maxsize=GRAPH_PROGRAMS_MAX)
def compile_expression(source: str) -> Program:
    """Compiles what stands between `{{` and `}}`, once for equal sources; unknown names are listed as problems, all of them.

    Raises:
        ExpressionInvalid: It cannot be parsed.
    """
    found = checked(source)
    tree = _parse(found, len(source))
    compiler = _Compiler(found)
    try:
        run = compiler.node(tree)
    except RecursionError:
        raise ExpressionInvalid("nested too deeply: publish a part of it first") from None
    return Program(
        run=run,
        cost=compiler.cost,
        is_path=_is_path(tree),
        variables=frozenset(compiler.read - compiler.guarded),
        functions=frozenset(compiler.functions),
        problems=tuple(compiler.problems),
    )


def _parse(found: list[Token], length: int) -> nodes.Expr:
    """Has Jinja parse the tokens, one on each line: lines are all that its nodes remember of their place."""
    lines = [token.source.replace("\n", "\\n").replace("\r", "\\r") for token in found]
    try:
        body = _ENVIRONMENT.parse("\x02\n" + "\n".join(lines) + "\n\x03").body
    except TemplateSyntaxError as error:
        place = error.lineno - 2
        column = found[place].at + 1 if 0 <= place < len(found) else length + 1
        reason = (error.message or "cannot be read")[:160].replace("end of print statement", "end of the expression")
        raise ExpressionInvalid(reason, column=column) from None
    except (RecursionError, ValueError, OverflowError):
        raise ExpressionInvalid("cannot be parsed: publish a part of it first") from None
    if len(body) == 1 and isinstance(body[0], nodes.Output) and len(body[0].nodes) == 1:
        return body[0].nodes[0]
    raise ExpressionInvalid("is not one expression")


class _Compiler:
    """Makes a closure of each node of one expression, and notes what it reads and calls."""

    def __init__(self, found: list[Token]) -> None:
        self.cost = 0
        self.read: set[str] = set()
        self.guarded: set[str] = set()
        self.functions: set[str] = set()
        self.problems: list[ExpressionInvalid] = []
        self._found = found
        self._guards = 0
        self._elements = 0
        self._table: dict[type[nodes.Node], Callable[..., Node]] = {
            nodes.Const: self._const,
            nodes.Name: self._name,
            nodes.Getattr: self._getattr,
            nodes.Getitem: self._getitem,
            nodes.Compare: self._compare,
            nodes.And: self._and,
            nodes.Or: self._or,
            nodes.Not: self._not,
            nodes.Neg: self._sign,
            nodes.Pos: self._sign,
            nodes.Concat: self._concat,
            nodes.CondExpr: self._condition,
            nodes.List: self._list,
            nodes.Tuple: self._list,
            nodes.Dict: self._dict,
            nodes.Call: self._call,
            nodes.Filter: self._filter,
            nodes.Test: self._test,
        }

    def node(self, node: nodes.Node) -> Node:
        self.cost += 1
        if type(node).__name__ in _BINARY:
            return self._binary(cast("nodes.BinExpr", node))
        make = self._table.get(type(node))
        if make is None:
            return self._refuse(f"{type(node).__name__.lower()} is not allowed in expressions", node)
        return make(node)

    def _column(self, node: nodes.Node) -> int:
        """Finds where the name of what is read or called begins, or the operator stands."""
        if isinstance(node, nodes.Call):
            return self._column(node.node)
        place = node.lineno - 2 + isinstance(node, nodes.Getattr)
        return self._found[place].at + 1 if 0 <= place < len(self._found) else 1

    def _refuse(self, reason: str, node: nodes.Node, *, kind: str = "expression_syntax") -> Node:
        self.problems.append(ExpressionInvalid(reason, column=self._column(node), kind=kind))
        return constant(None)

    # --- leaves ---------------------------------------------------------------------------

    def _const(self, node: nodes.Const) -> Node:
        value: object = node.value
        if type(value) is int or type(value) is float:
            try:
                counted(value)
            except ExpressionError as error:
                return self._refuse(error.reason, node)
        return constant(value)

    def _name(self, node: nodes.Name) -> Node:
        name = node.name
        if name == EACH and self._elements:
            return element
        if name in READERS:
            self.functions.add(name)
            return READERS[name]
        if name in _CONSTANTS:
            return constant(_CONSTANTS[name])
        if name in NAMES:
            return self._refuse(f"{name} is a function: write {name}(…)", node)
        if name.startswith(PRIVATE):
            return self._refuse(private_reason(name), node, kind="private_variable")
        if name == EACH:
            return self._refuse("each stands for an element: it is known within select() and where() alone", node)
        hint = FOREIGN.get(name, f"use ctx.{name[:40]} for the variable, or quotes for a text")
        reason = f"there is no name {shown(name)}: {hint}"
        return self._refuse(reason, node, kind="expression_unknown_function")

    def _variable(self, name: str, node: nodes.Node) -> Node:
        self.functions.add("ctx")
        if name.startswith(PRIVATE):
            return self._refuse(private_reason(name), node, kind="private_variable")
        (self.guarded if self._guards else self.read).add(name)
        column, reason = self._column(node), f"the variable {shown(name)} is not defined"

        def run(view: View, budget: Budget) -> object:
            try:
                return view.variables[name]
            except KeyError:
                raise Undefined(reason, column=column) from None

        return run

    # --- looking into data --------------------------------------------------------------------

    def _getattr(self, node: nodes.Getattr) -> Node:
        if _is_reader(node.node, "ctx"):
            return self._variable(node.attr, node)
        if _is_reader(node.node, "item"):
            self.functions.add("item")
            return keyed(part, constant(node.attr), self._column(node))
        if isinstance(node.node, nodes.Const):
            return self._refuse(f"{kind_of(node.node.value)} has no keys, so there is no .{node.attr[:40]}", node)
        return key(self.node(node.node), node.attr, self._column(node))

    def _getitem(self, node: nodes.Getitem) -> Node:
        column = self._column(node)
        if isinstance(node.arg, nodes.Slice):
            return self._slice(node, node.arg)
        if isinstance(node.arg, nodes.Const) and type(node.arg.value) is str:
            return self._getattr(nodes.Getattr(node.node, node.arg.value, "load", lineno=node.lineno))
        if _is_reader(node.node, "ctx"):
            self.functions.add("ctx")
            return keyed(variable, self.node(node.arg), column)
        return two(look_up, self.node(node.node), self.node(node.arg), column)

    def _slice(self, node: nodes.Getitem, part: nodes.Slice) -> Node:
        if part.step is not None:
            return self._refuse("slices have no step: use reverse() or filter()", node)
        inner, column = self.node(node.node), self._column(node)
        start = self.node(part.start) if part.start is not None else constant(None)
        stop = self.node(part.stop) if part.stop is not None else constant(None)

        def run(view: View, budget: Budget) -> object:
            value, low, high = inner(view, budget), start(view, budget), stop(view, budget)
            try:
                return cut(value, low, high, budget)
            except ExpressionError as error:
                raise placed(error, column) from None

        return run

    # --- operators ------------------------------------------------------------------------------

    def _binary(self, node: nodes.BinExpr) -> Node:
        operator = ARITHMETIC[_BINARY[type(node).__name__]]
        return two(operator, self.node(node.left), self.node(node.right), self._column(node))

    def _sign(self, node: nodes.UnaryExpr) -> Node:
        inner, column = self.node(node.node), self._column(node)
        call = negate if isinstance(node, nodes.Neg) else keep_sign

        def run(view: View, budget: Budget) -> object:
            value = inner(view, budget)
            try:
                return call(value)
            except ExpressionError as error:
                raise placed(error, column) from None

        return run

    def _compare(self, node: nodes.Compare) -> Node:
        column = self._column(node)
        first = self.node(node.expr)
        others = [(COMPARISON[operand.op], self.node(operand.expr)) for operand in node.ops]
        if len(others) == 1:
            return two(others[0][0], first, others[0][1], column)

        def run(view: View, budget: Budget) -> object:
            left = first(view, budget)
            for operator, other in others:
                right = other(view, budget)
                try:
                    if not operator(left, right, budget):
                        return False
                except ExpressionError as error:
                    raise placed(error, column) from None
                left = right
            return True

        return run

    def _and(self, node: nodes.And) -> Node:
        left, right = self.node(node.left), self.node(node.right)
        return lambda view, budget: left(view, budget) and right(view, budget)

    def _or(self, node: nodes.Or) -> Node:
        left, right = self.node(node.left), self.node(node.right)
        return lambda view, budget: left(view, budget) or right(view, budget)

    def _not(self, node: nodes.Not) -> Node:
        inner = self.node(node.node)
        return lambda view, budget: not inner(view, budget)

    def _condition(self, node: nodes.CondExpr) -> Node:
        if node.expr2 is None:
            return self._refuse("an `if` within an expression needs an `else`", node)
        test, yes, no = self.node(node.test), self.node(node.expr1), self.node(node.expr2)
        return lambda view, budget: yes(view, budget) if test(view, budget) else no(view, budget)

    def _concat(self, node: nodes.Concat) -> Node:
        parts = [self.node(part) for part in node.nodes]
        column = self._column(node)

        def run(view: View, budget: Budget) -> object:
            values = [part(view, budget) for part in parts]
            try:
                texts = [written(value, budget) for value in values]
                budget.make(sum(map(len, texts)))
            except ExpressionError as error:
                raise placed(error, column) from None
            return "".join(texts)

        return run

    # --- literals -------------------------------------------------------------------------------

    def _list(self, node: nodes.List | nodes.Tuple) -> Node:
        parts = [self.node(part) for part in node.items]

        def run(view: View, budget: Budget) -> object:
            budget.make(len(parts))
            return [part(view, budget) for part in parts]

        return run

    def _dict(self, node: nodes.Dict) -> Node:
        parts = [(self.node(pair.key), self.node(pair.value)) for pair in node.items]
        column = self._column(node)

        def run(view: View, budget: Budget) -> object:
            budget.make(len(parts))
            made: dict[str, object] = {}
            for naming, value in parts:
                name = naming(view, budget)
                if type(name) is not str:
                    raise ExpressionError(f"a mapping's key is a text, not {kind(name)}", column=column)
                made[name] = value(view, budget)
            return made

        return run

    # --- calls ------------------------------------------------------------------------------------

    def _call(self, node: nodes.Call) -> Node:
        if isinstance(node.node, nodes.Name):
            return self._invoke(node.node.name, node.args, node)
        if isinstance(node.node, nodes.Getattr):
            name = node.node.attr
            hint = f"{name}(value, …)" if name in NAMES else "a function"
            return self._refuse(f"values have no methods, so there is no .{name[:40]}(): use {hint}", node)
        return self._refuse("only functions can be called, by their names", node)

    def _filter(self, node: nodes.Filter) -> Node:
        if node.node is None:
            return self._refuse("a filter needs a value before it", node)
        return self._invoke(node.name, [node.node, *node.args], node)

    def _invoke(self, name: str, given: list[nodes.Expr], node: nodes.Call | nodes.Filter) -> Node:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            return self._refuse("arguments cannot be unpacked with *", node)
        self.functions.add(name)
        named = {str(each.key): each.value for each in node.kwargs}
        if name in _CATCHING:
            return self._catching(name, given, named, node)
        if name in READERS or name in KEYED:
            return self._view(name, given, named, node)
        if name in PER_ELEMENT:
            return self._per_element(name, given, named, node)
        if name not in FUNCTIONS:
            hint = f": {FOREIGN[name]}" if name in FOREIGN else _nearest(name, NAMES)
            reason = f"there is no function {shown(name)}{hint}"
            return self._refuse(reason, node, kind="expression_unknown_function")
        function = FUNCTIONS[name]
        problem = _arguments_problem(name, function, given, named)
        if problem:
            return self._refuse(problem, node)
        if name in _BY_NAME and len(given) > 1:
            by = given[1]
            if not isinstance(by, nodes.Const) or type(by.value) is not str:
                return self._refuse(f"{name} takes the name of a function, as a text in quotes", node)
            if by.value not in SIMPLE:
                reason = f"there is no function {shown(by.value)} of one argument: use attribute='…' for a key"
                return self._refuse(reason, node, kind="expression_unknown_function")
        arguments = [self.node(each) for each in given]
        options = {key: self.node(value) for key, value in named.items()}
        return applied(function.call, arguments, options, self._column(node))

    def _view(self, name: str, given: list[nodes.Expr], named: dict[str, nodes.Expr], node: nodes.Expr) -> Node:
        if not given and not named and name in READERS:
            return READERS[name]
        if len(given) != 1 or named or name not in KEYED:
            return self._refuse(f"{name} takes {'a name alone' if name in KEYED else 'nothing'} in its brackets", node)
        argument = given[0]
        if name == "ctx" and isinstance(argument, nodes.Const) and type(argument.value) is str:
            return self._variable(argument.value, node)
        return keyed(KEYED[name], self.node(argument), self._column(node))

    def _per_element(self, name: str, given: list[nodes.Expr], named: dict[str, nodes.Expr], node: nodes.Expr) -> Node:
        if named or len(given) != 2 or isinstance(given[1], nodes.Const):
            return self._refuse(f"{name} takes a list and an expression of each", node)
        values = self.node(given[0])
        before = self.cost
        self._elements += 1
        body = self.node(given[1])
        self._elements -= 1
        return per_element(name, values, body, self.cost - before, self._column(node))

    def _catching(self, name: str, given: list[nodes.Expr], named: dict[str, nodes.Expr], node: nodes.Expr) -> Node:
        least, most = {"coalesce": (1, 64), "default": (2, 3), "defined": (1, 1)}[name]
        if named or not least <= len(given) <= most:
            return self._refuse(f"{name} takes {least} to {most} arguments by position", node)
        if name == "defined" and isinstance(given[0], nodes.Const) and type(given[0].value) is str:
            return is_defined(self._guarded([nodes.Getattr(_CTX, given[0].value, "load", lineno=node.lineno)])[0])
        if name == "default":
            value = self._guarded(given[:1])[0]
            return default(value, self.node(given[1]), self.node(given[2]) if len(given) == 3 else constant(None))
        parts = self._guarded(given)
        return is_defined(parts[0]) if name == "defined" else coalesce(parts)

    def _guarded(self, given: list[nodes.Expr]) -> list[Node]:
        self._guards += 1
        try:
            return [self.node(each) for each in given]
        finally:
            self._guards -= 1

    def _test(self, node: nodes.Test) -> Node:
        name = node.name
        if node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
            return self._refuse(f"the test {shown(name)} takes no arguments", node)
        if name in ("defined", "undefined"):
            inner = is_defined(self._guarded([node.node])[0])
            return inner if name == "defined" else lambda view, budget: not inner(view, budget)
        if name not in TESTS:
            reason = f"there is no test {shown(name)}" + _nearest(name, {*TESTS, "defined", "undefined"})
            return self._refuse(reason, node, kind="expression_unknown_function")
        test, value = TESTS[name], self.node(node.node)
        return lambda view, budget: test(value(view, budget))


_CTX: Final = nodes.Name("ctx", "load")


def _nearest(name: str, known: Iterable[str]) -> str:
    found = get_close_matches(name[:40], sorted(known), n=1)
    return f": did you mean {found[0]}?" if found else ""


def _is_path(node: nodes.Expr) -> bool:
    """Tells whether it only looks up what the view has, and so makes nothing."""
    while isinstance(node, nodes.Getattr | nodes.Getitem) and not (
        isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice)
    ):
        node = node.node
    if isinstance(node, nodes.Call):
        node = node.node
    return isinstance(node, nodes.Name) and node.name in READERS


def _is_reader(node: nodes.Expr, name: str) -> bool:
    """Tells `ctx` and `ctx()` from everything else."""
    if isinstance(node, nodes.Call) and not (node.args or node.kwargs or node.dyn_args or node.dyn_kwargs):
        node = node.node
    return isinstance(node, nodes.Name) and node.name == name


def _arguments_problem(name: str, function: Function, given: list[nodes.Expr], named: dict[str, nodes.Expr]) -> str:
    unknown = sorted(named.keys() - function.names)
    if unknown:
        return f"{name} has no argument {shown(unknown[0])}"
    if function.least <= len(given) <= function.most:
        return ""
    many = str(function.least) if function.least == function.most else f"{function.least} to {function.most}"
    return f"{name} takes {many} argument{'' if many == '1' else 's'} by position, not {len(given)}"
