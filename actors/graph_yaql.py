"""YAQL, the language of `<% … %>`: translated into our own expressions where that is exact, refused with the reason elsewhere.

Exact means: where both have a value, it is the same one. Where YAQL is looser with what it finds at run time (a key of every
element of a list, null as the least number), the translation fails with a clear error instead.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, NoReturn

from .graph_view import ExpressionInvalid, shown
from .limits import GRAPH_EXPRESSION_BYTES_MAX, GRAPH_EXPRESSION_DEPTH_MAX

NOT_TRANSLATABLE: Final = "yaql_not_translatable"
"""The kind of problem where YAQL is well-formed but has no exact translation."""

_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    |(?P<call>[^\W\d]\w*\()
    |(?P<name>(?!__)[^\W\d]\w*)
    |(?P<number>\d+(?:\.\d+)?(?!\w))
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`)
    |(?P<lambda>\$\w*)
    |(?P<sign>=>|->|!=|>=|<=|=~|!~|\?\.|[-+*/=<>.,()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPES: Final = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_WRITTEN: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_WORDS: Final = frozenset({"and", "or", "not", "in", "mod"})
_CONSTANTS: Final = {"true": "true", "false": "false", "null": "none"}
_COMPARISONS: Final = {"=": "==", "!=": "!=", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "in": "in"}
_PLAIN_KEY: Final = re.compile(r"(?!(?:and|or|not|in|is|if|else)$)[A-Za-z_][A-Za-z0-9_]*")

_FUNCTIONS: Final[dict[str, tuple[str, int, int]]] = {
    "abs": ("abs", 1, 1),
    "completed": ("completed", 0, 0),
    "concat": ("concat", 1, 64),
    "contains": ("contains", 2, 2),
    "count": ("length", 1, 1),
    "ctx": ("ctx", 0, 1),
    "distinct": ("unique", 1, 1),
    "endsWith": ("endswith", 2, 2),
    "failed": ("failed", 0, 0),
    "first": ("first", 1, 2),
    "float": ("float", 1, 1),
    "get": ("get", 2, 3),
    "int": ("int", 1, 1),
    "item": ("item", 0, 1),
    "items": ("items", 1, 1),
    "json": ("json", 1, 1),
    "keys": ("keys", 1, 1),
    "last": ("last", 1, 2),
    "len": ("length", 1, 1),
    "max": ("max", 1, 2),
    "min": ("min", 1, 2),
    "range": ("range", 1, 3),
    "replace": ("replace", 3, 3),
    "result": ("result", 0, 0),
    "reverse": ("reverse", 1, 1),
    "split": ("split", 1, 2),
    "startsWith": ("startswith", 2, 2),
    "str": ("string", 1, 1),
    "succeeded": ("succeeded", 0, 0),
    "task_status": ("task_status", 1, 1),
    "toLower": ("lower", 1, 1),
    "toUpper": ("upper", 1, 1),
    "trim": ("trim", 1, 1),
    "values": ("values", 1, 1),
    "zip": ("zip", 1, 64),
}
"""YAQL's name: ours, and how many arguments have an exact translation; the value before a `.` is the first one."""

_ITERATORS: Final = frozenset(
    {"range", "zip", "keys", "values", "items", "distinct", "reverse", "select", "where", "orderBy"}
)
"""What `list(…)` takes apart into elements rather than puts into a list."""

SPECIAL: Final = frozenset({"dict", "join", "list", "orderBy", "select", "set", "switch", "toList", "where"})
"""Functions with a translation of their own shape."""

TRANSLATED: Final = frozenset(_FUNCTIONS) | SPECIAL
"""All functions of YAQL that have a translation."""


class _Token(NamedTuple):
    sort: str
    source: str
    at: int


class _Piece(NamedTuple):
    """A translated part: its text, and what it was: `text`, `word`, the name of a function, or ""."""

    text: str
    sort: str = ""


class _Argument(NamedTuple):
    value: _Piece
    key: _Piece | None = None


def translate(source: str) -> str:
    """Returns the expression that `<% … %>` means, every operation in brackets.

    Raises:
        ExpressionInvalid: It is not YAQL (`expression_syntax`), or has no exact translation (`yaql_not_translatable`).
    """
    if len(source.encode(errors="replace")) > GRAPH_EXPRESSION_BYTES_MAX:
        raise ExpressionInvalid(f"an expression has at most {GRAPH_EXPRESSION_BYTES_MAX} bytes: compute it in a step")
    inner = source.strip()
    if not (inner.startswith("<%") and inner.endswith("%>") and len(inner) >= 4):
        raise ExpressionInvalid("YAQL stands between <% and %>")
    start = source.index("<%") + 2
    end = source.rindex("%>")
    return _Parser(yaql_tokens(source, start, end), end).whole()


def yaql_tokens(source: str, start: int, end: int) -> list[_Token]:
    """Cuts YAQL into tokens. Raises ExpressionInvalid."""
    found: list[_Token] = []
    place = start
    while place < end:
        match = _TOKEN.match(source, place, end)
        if match is None:
            sign = source[place]
            reason = "the text has no closing quote" if sign in "'\"`" else f"{shown(sign)} does not belong into YAQL"
            raise ExpressionInvalid(reason, column=place + 1)
        if match.lastgroup != "space":
            found.append(_Token(match.lastgroup or "", match[0], place))
        place = match.end()
    return found


def yaql_end(source: str, start: int) -> int:
    """Finds the `%>` that ends what begins at `start`, not one within a text in quotes; -1 where there is none.

    It looks no further than an expression may be long, so that a long text without an end costs little.
    """
    place, stop = start, min(len(source), start + GRAPH_EXPRESSION_BYTES_MAX + 2)
    while place < stop:
        if source.startswith("%>", place):
            return place
        match = _TOKEN.match(source, place, stop)
        place = match.end() if match else place + 1
    return -1


def _quoted(value: str) -> str:
    return '"' + value.translate(_WRITTEN) + '"'


class _Parser:
    """A parser by recursive descent, with YAQL's precedence: `.` `[]`, signs, `* / mod`, `+ -`, comparisons, not, and, or."""

    def __init__(self, found: list[_Token], end: int) -> None:
        self._found = found
        self._next = 0
        self._end = end
        self._depth = 0

    def whole(self) -> str:
        if not self._found:
            raise ExpressionInvalid("the expression is empty")
        piece = self._or()
        if self._next < len(self._found):
            self._fail(f"{shown(self._peek())} was not expected here")
        return piece.text

    # --- tokens -----------------------------------------------------------------------------

    def _peek(self) -> str:
        if self._next == len(self._found):
            return ""
        token = self._found[self._next]
        is_plain = token.sort == "sign" or (token.sort == "name" and token.source in _WORDS)
        return token.source if is_plain else f"{token.sort} {token.source}"

    def _take(self, *signs: str) -> str:
        """Takes the next token where it is one of the signs or words; "" else."""
        sign = self._peek()
        if sign not in signs:
            return ""
        self._next += 1
        return sign

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            self._fail(f"{sign!r} was expected here")

    def _fail(self, reason: str, *, kind: str = "expression_syntax") -> NoReturn:
        at = self._found[self._next].at if self._next < len(self._found) else self._end
        raise ExpressionInvalid(reason, column=at + 1, kind=kind)

    def _refuse(self, reason: str) -> NoReturn:
        self._fail(f"{reason}; write it as {{{{ … }}}}", kind=NOT_TRANSLATABLE)

    # --- operators --------------------------------------------------------------------------

    def _or(self) -> _Piece:
        self._depth += 1
        if self._depth > GRAPH_EXPRESSION_DEPTH_MAX:
            self._fail(f"nested more than {GRAPH_EXPRESSION_DEPTH_MAX} levels deep: publish a part of it first")
        parts = [self._and()]
        while self._take("or"):
            parts.append(self._and())
        if self._take("->"):
            self._refuse("`->` has no translation")
        self._depth -= 1
        return _joined(parts, " or ")

    def _and(self) -> _Piece:
        parts = [self._not()]
        while self._take("and"):
            parts.append(self._not())
        return _joined(parts, " and ")

    def _not(self) -> _Piece:
        count = 0
        while self._take("not"):
            count += 1
        piece = self._comparison()
        if not count:
            return piece
        return _Piece(f"(not {piece.text})" if count % 2 else f"(not (not {piece.text}))")

    def _comparison(self) -> _Piece:
        left = self._sum()
        if self._peek() in ("=~", "!~"):
            self._refuse("there are no regular expressions")
        sign = self._take(*_COMPARISONS)
        if not sign:
            return left
        right = self._sum()
        if self._peek() in _COMPARISONS:
            self._refuse("YAQL compares the outcome of the first comparison here: use brackets or `and`")
        return _Piece(f"({left.text} {_COMPARISONS[sign]} {right.text})")

    def _sum(self) -> _Piece:
        text = self._product()
        parts = [text.text]
        while sign := self._take("+", "-"):
            parts += [sign, self._product().text]
        return text if len(parts) == 1 else _Piece(f"({' '.join(parts)})")

    def _product(self) -> _Piece:
        piece = self._sign()
        while sign := self._take("*", "/", "mod"):
            right = self._sign()
            if sign == "/":
                piece = _Piece(f"divide({piece.text}, {right.text})")
            else:
                piece = _Piece(f"({piece.text} {'%' if sign == 'mod' else sign} {right.text})")
        return piece

    def _sign(self) -> _Piece:
        sign = self._take("-", "+")
        if not sign:
            return self._postfix()
        if self._peek() in ("-", "+"):
            self._fail("two signs in a row")
        return _Piece(f"({sign}{self._postfix().text})")

    # --- operands ---------------------------------------------------------------------------

    def _postfix(self) -> _Piece:
        piece = self._primary()
        while sign := self._take(".", "?.", "["):
            if piece.sort == "word":
                self._refuse(f"{piece.text[:40]} is a text in YAQL, of which nothing can be read")
            if sign == "?.":
                self._refuse("`?.` has no translation")
            if sign == "[":
                key = self._or()
                self._expect("]")
                piece = _Piece(f"{piece.text}[{key.text}]")
            else:
                piece = self._member(piece)
        return piece

    def _member(self, value: _Piece) -> _Piece:
        if self._next == len(self._found):
            self._fail("a name was expected here")
        token = self._found[self._next]
        if token.sort == "call":
            return self._call(token.source[:-1], value)
        if token.sort != "name" or token.source in _WORDS:
            self._fail("a name was expected here")
        self._next += 1
        key = token.source
        return _Piece(f"{value.text}.{key}" if _PLAIN_KEY.fullmatch(key) else f"{value.text}[{_quoted(key)}]")

    def _primary(self) -> _Piece:
        if self._next == len(self._found):
            self._fail("the expression ends too early")
        token = self._found[self._next]
        if token.sort == "call":
            return self._call(token.source[:-1], None)
        if token.sort == "lambda":
            self._refuse("`$` is translated in `.select($.key)`, `.where($.key = value)` and `.orderBy($)` alone")
        if self._take("("):
            piece = self._or()
            self._expect(")")
            return _Piece(f"({piece.text})", "" if piece.sort in ("word", "text") else piece.sort)
        if self._take("["):
            return self._list(self._arguments("]"))
        if self._take("{"):
            return self._dict(self._arguments("}"))
        if token.sort == "sign" or token.source in _WORDS:
            self._fail(f"{shown(token.source)} was not expected here")
        self._next += 1
        if token.sort == "number":
            return _Piece(token.source)
        if token.sort == "text":
            return _Piece(_quoted(self._unquoted(token)), "text")
        if token.source in _CONSTANTS:
            return _Piece(_CONSTANTS[token.source])
        return _Piece(_quoted(token.source), "word")

    def _unquoted(self, token: _Token) -> str:
        inner = token.source[1:-1]
        if token.source[0] == "`":
            return inner.replace("\\`", "`")

        def replaced(match: re.Match[str]) -> str:
            if match[3] is None:
                return chr(int(match[1] or match[2], 16))
            if match[3] in "avUN01234567":
                raise ExpressionInvalid(
                    f"the escape {shown(match[0])} has no translation", column=token.at + 1, kind=NOT_TRANSLATABLE
                )
            return _ESCAPES.get(match[3], match[0])

        return _ESCAPE.sub(replaced, inner)

    # --- calls ------------------------------------------------------------------------------

    def _arguments(self, closing: str) -> list[_Argument]:
        """Reads arguments and the bracket behind them."""
        found: list[_Argument] = []
        while not self._take(closing):
            if found:
                self._expect(",")
            value = self._or()
            if self._take("=>"):
                found.append(_Argument(self._or(), value))
            else:
                found.append(_Argument(value))
        return found

    def _call(self, name: str, value: _Piece | None) -> _Piece:
        self._next += 1
        if value is not None and name in ("select", "where", "orderBy"):
            return self._lambda(name, value)
        if name not in TRANSLATED:
            self._next -= 1
            self._refuse(f"YAQL's function {shown(name)} has no translation")
        found = [_Argument(value)] if value is not None else []
        found += self._arguments(")")
        if name == "list" and value is None:
            return self._list(found)
        if name == "dict" and value is None:
            return self._dict(found)
        if name == "switch" and value is None:
            return self._switch(found)
        options = [each for each in found if each.key is not None]
        if options and not (name == "zip" and all(each.key == _Piece('"pad"', "word") for each in options)):
            self._refuse(f"{name} with arguments by name has no translation")
        plain = [each.value for each in found if each.key is None]
        if name in SPECIAL:
            return self._special(name, plain)
        ours, least, most = _FUNCTIONS[name]
        if not least <= len(plain) <= most:
            self._refuse(f"{name} with {len(plain)} arguments has no translation")
        given = [each.text for each in plain] + [f"pad={each.value.text}" for each in options]
        return _Piece(f"{ours}({', '.join(given)})", name)

    def _special(self, name: str, plain: list[_Piece]) -> _Piece:
        if name == "toList" and len(plain) == 1:
            return _Piece(plain[0].text)
        if name == "set" and len(plain) == 3:
            return _Piece(f"merge({plain[0].text}, {{{plain[1].text}: {plain[2].text}}})")
        if name == "join" and len(plain) == 2:
            values, separator = plain if plain[1].sort == "text" else plain[::-1]
            if separator.sort == "text" and values.sort != "text":
                return _Piece(f"join({values.text}, {separator.text})")
        return self._refuse(f"{name} in this form has no translation")

    def _list(self, found: list[_Argument]) -> _Piece:
        parts = [each.value for each in found if each.key is None]
        if len(parts) != len(found):
            self._refuse("a list with names has no translation")
        if not any(part.sort in _ITERATORS for part in parts):
            return _Piece(f"[{', '.join(part.text for part in parts)}]")
        if len(parts) == 1:
            return _Piece(parts[0].text)
        return self._refuse("list() takes apart what makes elements one by one: use concat()")

    def _dict(self, found: list[_Argument]) -> _Piece:
        pairs = [f"{each.key.text}: {each.value.text}" for each in found if each.key is not None]
        if len(pairs) != len(found):
            self._refuse("dict() of a list of pairs has no translation")
        return _Piece(f"{{{', '.join(pairs)}}}")

    def _switch(self, found: list[_Argument]) -> _Piece:
        cases = [f"{each.value.text} if {each.key.text} else " for each in found if each.key is not None]
        if len(cases) != len(found) or not cases:
            self._refuse("switch() takes condition => value alone")
        return _Piece(f"({''.join(cases)}none)")

    def _lambda(self, name: str, value: _Piece) -> _Piece:
        """Translates `$`, `$.a.b` and `$.a = value` within the brackets."""
        token = self._found[self._next] if self._next < len(self._found) else None
        if token is None or token.source != "$":
            self._refuse(f"{name} is translated for `$` alone")
        self._next += 1
        keys: list[str] = []
        while self._take("."):
            key = self._found[self._next] if self._next < len(self._found) else None
            if key is None or key.sort != "name" or key.source in _WORDS:
                self._refuse(f"{name} is translated for `$` and its keys alone")
            keys.append(key.source)
            self._next += 1
        attribute = f"attribute={_quoted('.'.join(keys))}"
        if name == "where" and keys and self._take("="):
            other = self._sum()
            self._expect(")")
            return _Piece(f"filter({value.text}, {attribute}, equals={other.text})", name)
        if not self._take(")"):
            self._refuse(f"{name} is translated for `$` and its keys alone")
        ours = {"select": "map", "where": "filter", "orderBy": "sort"}[name]
        if keys:
            return _Piece(f"{ours}({value.text}, {attribute})", name)
        return _Piece(f"({value.text})" if name == "select" else f"{ours}({value.text})", name)


def _joined(parts: list[_Piece], sign: str) -> _Piece:
    return parts[0] if len(parts) == 1 else _Piece(f"({sign.join(part.text for part in parts)})")
