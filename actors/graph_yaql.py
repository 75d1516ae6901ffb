"""YAQL, the language of `<% … %>`: translated into our own expressions where that is exact, refused with the reason elsewhere.

Exact means: where both have a value, it is the same one. Where YAQL is looser with what it finds at run time (a key of every
element of a list, null as the least number), the translation fails with a clear error instead.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, NoReturn

from .graph_foreign import FOREIGN
from .graph_view import ExpressionInvalid, shown
from .graph_yaql_names import ELEMENT, FUNCTIONS, ITERATORS, KINDS, LAMBDAS, SPECIAL, TRANSLATED
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
_PATH: Final = re.compile(r"each(?:\.[A-Za-z_][A-Za-z0-9_]*)+")
_PLAIN_KEY: Final = re.compile(r"(?!(?:and|or|not|in|is|if|else)$)[A-Za-z_][A-Za-z0-9_]*")


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
        self._elements = 0

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
        found = [self._product()]
        signs: list[str] = []
        while sign := self._take("+", "-"):
            signs.append(sign)
            found.append(self._product())
        if not signs:
            return found[0]
        if any(piece.sort == "dict" for piece in found) and "-" not in signs:
            return _Piece(f"merge({', '.join(piece.text for piece in found)})", "dict")
        others = [f" {sign} {piece.text}" for sign, piece in zip(signs, found[1:], strict=True)]
        return _Piece(f"({found[0].text}{''.join(others)})")

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
                outer, self._elements = self._elements, 0  # `$` would be the element of what is indexed
                key = self._or()
                self._elements = outer
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
            if token.source != "$" or not self._elements:
                self._refuse("`$` is an element in select(), where() and the like alone; variables are ctx().name")
            self._next += 1
            return _Piece("each")
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
            return _Piece(token.source, "number")
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
        if value is not None and name in LAMBDAS:
            return self._lambda(name, value)
        if name not in TRANSLATED:
            self._next -= 1
            if name in FOREIGN:
                self._fail(f"YAQL's function {name} has no translation: {FOREIGN[name]}", kind=NOT_TRANSLATABLE)
            self._refuse(f"YAQL's function {shown(name)} has no translation")
        found = [_Argument(value)] if value is not None else []
        found += self._arguments(")")
        if name == "list" and value is None:
            return self._list(found)
        if name == "dict" and value is None:
            if len(found) == 1 and found[0].key is None:
                return _Piece(f"from_items({found[0].value.text})", "dict")
            return self._dict(found)
        if name == "switch" and value is None:
            return self._switch(found)
        options = [each for each in found if each.key is not None]
        if options and not (name == "zip" and all(each.key == _Piece('"pad"', "word") for each in options)):
            self._refuse(f"{name} with arguments by name has no translation")
        plain = [each.value for each in found if each.key is None]
        if name in SPECIAL:
            return self._special(name, plain)
        ours, least, most = FUNCTIONS[name]
        if not least <= len(plain) <= most:
            self._refuse(f"{name} with {len(plain)} arguments has no translation")
        given = [each.text for each in plain] + [f"pad={each.value.text}" for each in options]
        return _Piece(f"{ours}({', '.join(given)})", name)

    def _special(self, name: str, plain: list[_Piece]) -> _Piece:
        texts = [piece.text for piece in plain]
        match name, len(plain):
            case "toList", 1:
                return _Piece(texts[0])
            case "bool", 1:
                return _Piece(f"(not (not {texts[0]}))")
            case "set", 3:
                return _Piece(f"merge({texts[0]}, {{{texts[1]}: {texts[2]}}})", "dict")
            case "containsKey", 2:
                return _Piece(f"({texts[1]} in {texts[0]})")
            case "skip" | "limit" | "take", 2 if plain[1].sort == "number" and texts[1].isdigit():
                return _Piece(f"{texts[0]}[{texts[1]}:]" if name == "skip" else f"{texts[0]}[:{texts[1]}]", name)
            case _ if name in KINDS and len(plain) == 1 and plain[0].sort not in ITERATORS:
                return _Piece(f"({texts[0]} is {KINDS[name]})")
            case _ if name == "append" and len(plain) > 1:
                return _Piece(f"({texts[0]} + [{', '.join(texts[1:])}])", name)
            case "join", 2:
                values, separator = plain if plain[1].sort == "text" else plain[::-1]
                if separator.sort == "text" and values.sort != "text":
                    return _Piece(f"join({values.text}, {separator.text})")
            case _:
                pass
        return self._refuse(f"{name} in this form has no translation")

    def _list(self, found: list[_Argument]) -> _Piece:
        parts = [each.value for each in found if each.key is None]
        if len(parts) != len(found):
            self._refuse("a list with names has no translation")
        if not any(part.sort in ITERATORS for part in parts):
            return _Piece(f"[{', '.join(part.text for part in parts)}]")
        if len(parts) == 1:
            return _Piece(parts[0].text)
        return self._refuse("list() takes apart what makes elements one by one: use concat()")

    def _dict(self, found: list[_Argument]) -> _Piece:
        pairs = [f"{each.key.text}: {each.value.text}" for each in found if each.key is not None]
        if len(pairs) != len(found):
            self._refuse("a dict takes key => value, or a list of pairs alone")
        return _Piece(f"{{{', '.join(pairs)}}}", "dict")

    def _switch(self, found: list[_Argument]) -> _Piece:
        cases = [f"{each.value.text} if {each.key.text} else " for each in found if each.key is not None]
        if len(cases) != len(found) or not cases:
            self._refuse("switch() takes condition => value alone")
        return _Piece(f"({''.join(cases)}none)")

    def _lambda(self, name: str, value: _Piece) -> _Piece:
        """Translates what is evaluated per element."""
        self._elements += 1
        found = self._arguments(")")
        self._elements -= 1
        if any(each.key is not None for each in found):
            self._refuse(f"{name} with arguments by name has no translation")
        bodies = [each.value.text for each in found]
        if name == "orderBy" and bodies == ["each"]:
            return _Piece(f"sort({value.text})", name)
        if name == "orderBy" and len(bodies) == 1 and _PATH.fullmatch(bodies[0]):
            return _Piece(f"sort({value.text}, attribute={_quoted(bodies[0].removeprefix('each.'))})", name)
        if (name, len(bodies)) not in ELEMENT:
            self._refuse(f"{name} in this form has no translation")
        pattern, sort = ELEMENT[name, len(bodies)]
        return _Piece(pattern.format(value.text, *bodies), sort)


def _joined(parts: list[_Piece], sign: str) -> _Piece:
    return parts[0] if len(parts) == 1 else _Piece(f"({sign.join(part.text for part in parts)})")
