"""What expressions evaluate to: `SELECT VALUE <expression>` on one item."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import orjson
import pytest

from local.cosmos.errors import CosmosError
from local.cosmos.sql.query import PageRequest, Row, compile_query

if TYPE_CHECKING:
    from local.cosmos.values import Json, JsonObject

ITEM: JsonObject = {
    "id": "1",
    "n": 5,
    "f": 2.5,
    "s": "Hello",
    "t": True,
    "z": None,
    "a": [1, "two", {"k": 3}, None],
    "o": {"x": {"y": 7}, "a b": 8},
    "when": "2020-02-29T12:34:56.1234567Z",
}
NOW_TICKS = 17_000_000_000_000_000
NOTHING = object()
"""The result is undefined, so that there is no row."""


def evaluate(expression: str) -> object:
    page = compile_query(f"SELECT VALUE {expression} FROM c").run(
        [Row((b"", 1), ITEM)], {"@five": 5, "@null": None}, NOW_TICKS, PageRequest(10)
    )
    results = [orjson.loads(result) for result in page.results]
    return results[0] if results else NOTHING


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("c.n = 5", True),
        ("c.n = 5.0", True),
        ("c.n = '5'", False),
        ("c.n != '5'", True),
        ("c.t = 1", False),
        ("c.z = null", True),
        ("c.missing = null", NOTHING),
        ("c.missing = c.missing", NOTHING),
        ("c.missing != 1", NOTHING),
        ("c.n < 6", True),
        ("c.n < '6'", NOTHING),
        ("c.n <= 5", True),
        ("c.n > 5", False),
        ("c.s >= 'A'", True),
        ("null < null", False),
        ("null >= null", True),
        ("false < true", True),
        ("c.a > c.a", NOTHING),
        ("c.o = {'x': {'y': 7}, 'a b': 8}", True),
        ("c.a = [1, 'two', {'k': 3}, null]", True),
        ("[1] = [true]", False),
        ("c.missing AND false", False),
        ("false AND c.missing", False),
        ("c.missing AND true", NOTHING),
        ("c.missing OR true", True),
        ("true OR c.missing", True),
        ("c.missing OR false", NOTHING),
        ("NOT c.t", False),
        ("NOT c.n", NOTHING),
        ("NOT (c.n = 5)", False),
        ("c.n BETWEEN 1 AND 5", True),
        ("c.n NOT BETWEEN 1 AND 5", False),
        ("c.n BETWEEN 5 AND 9", True),
        ("c.n BETWEEN 6 AND 9", False),
        ("c.n BETWEEN 1 AND 4", False),
        ("c.n NOT BETWEEN 6 AND 9", True),
        ("c.n BETWEEN 'a' AND 'z'", NOTHING),
        ("c.a[0]", 1),
        ("c.a[3]", None),
        ("c.a[4]", NOTHING),
        ("c.a[5]", NOTHING),
        ("c.a[1.5]", NOTHING),
        ("c.n IN (1, 5)", True),
        ("c.n NOT IN (1, 5)", False),
        ("c.missing IN (1)", NOTHING),
        ("c.s LIKE 'H%o'", True),
        ("c.s LIKE 'h%'", False),
        ("c.s LIKE 'H_llo'", True),
        ("c.s LIKE '[A-I]ello'", True),
        ("c.s LIKE '[^H]ello'", False),
        ("c.s NOT LIKE 'x%'", True),
        ("'50%' LIKE '50!%' ESCAPE '!'", True),
        ("'500' LIKE '50!%' ESCAPE '!'", False),
        ("'a.c' LIKE 'a.c'", True),
        ("'abc' LIKE 'a.c'", False),
        ("c.n LIKE 'x'", NOTHING),
        ("c.n + 1", 6),
        ("c.n - 1", 4),
        ("c.n * c.f", 12.5),
        ("c.n / 2", 2.5),
        ("c.n / 0", NOTHING),
        ("c.n % 3", 2),
        ("-7 % 3", -1),
        ("c.n + 'x'", NOTHING),
        ("c.n + c.t", NOTHING),
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("-c.n", -5),
        ("+c.n", 5),
        ("~c.n", -6),
        ("6 & 3", 2),
        ("6 | 3", 7),
        ("6 ^ 3", 5),
        ("c.s || '!'", "Hello!"),
        ("c.s || 1", NOTHING),
        ("c.t ? 'yes' : 'no'", "yes"),
        ("c.missing ? 'yes' : 'no'", "no"),
        ("c.n ? 'yes' : 'no'", "no"),
        ("c.missing ?? 'other'", "other"),
        ("c.z ?? 'other'", None),
        ("c.o.x.y", 7),
        ("c['o']['a b']", 8),
        ("c.a[1]", "two"),
        ("c.a[9]", NOTHING),
        ("c.a[-1]", NOTHING),
        ("c.a['0']", NOTHING),
        ("c.a[@five - 4]", "two"),
        ("c.s.x", NOTHING),
        ("[c.n, c.missing, c.z]", [5, None]),
        ("{'a': c.n, 'b': c.missing}", {"a": 5}),
        ("@five", 5),
        ("@null", None),
        ("undefined", NOTHING),
        ("'it\\'s \\u0041'", "it's A"),
        ('"double"', "double"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("EXISTS(SELECT VALUE x FROM x IN c.a WHERE x = 'two')", True),
        ("EXISTS(SELECT VALUE x FROM x IN c.a WHERE x = 'three')", False),
        ("EXISTS(SELECT VALUE undefined)", False),
        ("ARRAY(SELECT VALUE x FROM x IN c.a WHERE IS_NUMBER(x))", [1]),
        ("(SELECT VALUE COUNT(1) FROM x IN c.a)", 4),
        ("(SELECT VALUE x FROM x IN c.a WHERE x = 'three')", NOTHING),
    ],
)
def test_an_operator_means_what_the_service_means(expression: str, expected: object) -> None:
    assert evaluate(expression) == expected
    assert type(evaluate(expression)) is type(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("ABS(-5)", 5),
        ("ACOS(2)", NOTHING),
        ("CEILING(2.1)", 3),
        ("FLOOR(-2.1)", -3),
        ("ROUND(2.5)", 3),
        ("ROUND(-2.5)", -3),
        ("ROUND(2.345, 2)", 2.35),
        ("TRUNC(-2.7)", -2),
        ("SIGN(-3)", -1),
        ("SQRT(16)", 4),
        ("SQRT(-1)", NOTHING),
        ("SQUARE(3)", 9),
        ("POWER(2, 10)", 1024),
        ("POWER('2', 10)", NOTHING),
        ("LOG(1)", 0),
        ("LOG(0)", NOTHING),
        ("LOG(8, 2)", 3),
        ("LOG10(1000)", 3),
        ("EXP(0)", 1),
        ("PI()", math.pi),
        ("DEGREES(PI())", 180),
        ("ATN2(0, 1)", 0),
        ("NumberBin(37, 10)", 30),
        ("IntAdd(1, 2)", 3),
        ("IntDiv(-7, 2)", -3),
        ("IntMod(-7, 2)", -1),
        ("IntDiv(1, 0)", NOTHING),
        ("IntAdd(1.5, 2)", NOTHING),
        ("IntBitAnd(6, 3)", 2),
        ("IntBitLeftShift(1, 4)", 16),
        ("IntBitNot(0)", -1),
        ("RAND() < 1", True),
    ],
)
def test_mathematical_functions(expression: str, expected: object) -> None:
    assert evaluate(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("CONCAT('a', 'b', 'c')", "abc"),
        ("CONCAT('a', 1)", NOTHING),
        ("CONTAINS(c.s, 'ell')", True),
        ("CONTAINS(c.s, 'ELL')", False),
        ("CONTAINS(c.s, 'ELL', true)", True),
        ("CONTAINS(c.n, 'e')", NOTHING),
        ("STARTSWITH(c.s, 'He')", True),
        ("ENDSWITH(c.s, 'LO', true)", True),
        ("StringEquals(c.s, 'hello', true)", True),
        ("INDEX_OF(c.s, 'l')", 2),
        ("INDEX_OF(c.s, 'l', 3)", 3),
        ("INDEX_OF(c.s, 'x')", -1),
        ("LEFT(c.s, 2)", "He"),
        ("RIGHT(c.s, 2)", "lo"),
        ("RIGHT(c.s, 0)", ""),
        ("SUBSTRING(c.s, 1, 3)", "ell"),
        ("LENGTH(c.s)", 5),
        ("LENGTH(c.n)", NOTHING),
        ("LOWER(c.s)", "hello"),
        ("UPPER(c.s)", "HELLO"),
        ("TRIM('  a ')", "a"),
        ("LTRIM(' a')", "a"),
        ("RTRIM('a ')", "a"),
        ("REPLACE(c.s, 'l', 'L')", "HeLLo"),
        ("REPLICATE('ab', 3)", "ababab"),
        ("REPLICATE('ab', 10000)", NOTHING),
        ("REVERSE(c.s)", "olleH"),
        ("RegexMatch(c.s, '^H.*o$')", True),
        ("RegexMatch(c.s, 'hello', 'i')", True),
        ("RegexMatch(c.s, '(')", NOTHING),
        ("RegexMatch(c.s, 'h', 'q')", NOTHING),
        ("ToString(5)", "5"),
        ("ToString(true)", "true"),
        ("ToString([1])", "[1]"),
        ("ToString(undefined)", NOTHING),
        ("StringToNumber('5.5')", 5.5),
        ("StringToNumber('x')", NOTHING),
        ("StringToBoolean('true')", True),
        ("StringToNull('null')", None),
        ("StringToArray('[1,2]')", [1, 2]),
        ("StringToArray('{}')", NOTHING),
        ("StringToObject('{\"a\":1}')", {"a": 1}),
        ("StringJoin(['a','b'], '-')", "a-b"),
        ("StringSplit('a-b', '-')", ["a", "b"]),
    ],
)
def test_string_functions(expression: str, expected: object) -> None:
    assert evaluate(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("ARRAY_CONCAT([1], [2])", [1, 2]),
        ("ARRAY_CONCAT([1], 2)", NOTHING),
        ("ARRAY_CONTAINS(c.a, 'two')", True),
        ("ARRAY_CONTAINS(c.a, {'k': 3})", True),
        ("ARRAY_CONTAINS([{'a': 1, 'b': 2}], {'a': 1})", False),
        ("ARRAY_CONTAINS([{'a': 1, 'b': 2}], {'a': 1}, true)", True),
        ("ARRAY_CONTAINS(c.n, 1)", NOTHING),
        ("ARRAY_CONTAINS_ANY([1, 2], 5, 2)", True),
        ("ARRAY_CONTAINS_ALL([1, 2], 1, 5)", False),
        ("ARRAY_LENGTH(c.a)", 4),
        ("ARRAY_LENGTH(c.s)", NOTHING),
        ("ARRAY_SLICE(c.a, 1, 1)", ["two"]),
        ("ARRAY_SLICE([1, 2, 3], -2)", [2, 3]),
        ("SetIntersect([1, 2, 2], [2, 3])", [2]),
        ("SetUnion([1, 2], [2, 3])", [1, 2, 3]),
        ("SetDifference([1, 2], [2])", [1]),
        ("CHOOSE(2, 'a', 'b')", "b"),
        ("CHOOSE(3, 'a', 'b')", NOTHING),
        ("ObjectToArray({'a': 1})", [{"k": "a", "v": 1}]),
        ("IIF(c.t, 1, 2)", 1),
        ("IIF(c.n, 1, 2)", 2),
        ("IS_ARRAY(c.a)", True),
        ("IS_BOOL(c.t)", True),
        ("IS_DEFINED(c.missing)", False),
        ("IS_DEFINED(c.z)", True),
        ("IS_NULL(c.z)", True),
        ("IS_NULL(c.missing)", False),
        ("IS_NUMBER(c.t)", False),
        ("IS_OBJECT(c.o)", True),
        ("IS_PRIMITIVE(c.a)", False),
        ("IS_PRIMITIVE(c.z)", True),
        ("IS_STRING(c.s)", True),
        ("IS_INTEGER(c.f)", False),
        ("IS_FINITE_NUMBER(c.f)", True),
    ],
)
def test_array_object_and_type_functions(expression: str, expected: object) -> None:
    assert evaluate(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("DateTimeAdd('mm', 1, '2020-01-31T00:00:00Z')", "2020-02-29T00:00:00.0000000Z"),
        ("DateTimeAdd('yyyy', 1, c.when)", "2021-02-28T12:34:56.1234567Z"),
        ("DateTimeAdd('hh', -1, '2020-01-01T00:30:00Z')", "2019-12-31T23:30:00.0000000Z"),
        ("DateTimeAdd('parsec', 1, c.when)", NOTHING),
        ("DateTimeDiff('dd', '2020-01-01T23:00:00Z', '2020-01-02T01:00:00Z')", 1),
        ("DateTimeDiff('yy', '2019-12-31T00:00:00Z', '2020-01-01T00:00:00Z')", 1),
        ("DateTimePart('dw', '2020-03-01T00:00:00Z')", 1),
        ("DateTimePart('ms', c.when)", 123),
        ("DateTimeFromParts(2020, 2, 29)", "2020-02-29T00:00:00.0000000Z"),
        ("DateTimeFromParts(2021, 2, 29)", NOTHING),
        ("DateTimeBin(c.when, 'hh', 6)", "2020-02-29T12:00:00.0000000Z"),
        ("DateTimeToTimestamp('1970-01-01T00:00:01Z')", 1000),
        ("TimestampToDateTime(1000)", "1970-01-01T00:00:01.0000000Z"),
        ("DateTimeToTicks('1970-01-01T00:00:01Z')", 10_000_000),
        ("TicksToDateTime(10000000)", "1970-01-01T00:00:01.0000000Z"),
        ("DateTimeToTimestamp('not a date')", NOTHING),
        ("GetCurrentTicks()", NOW_TICKS),
        ("GetCurrentTimestamp()", NOW_TICKS // 10_000),
        ("GetCurrentDateTimeStatic()", "2023-11-14T22:13:20.0000000Z"),
    ],
)
def test_date_functions(expression: str, expected: object) -> None:
    assert evaluate(expression) == expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("SELECT", "end of the query"),
        ("SELEC c FROM c", "SELEC"),
        ("SELECT * FROM c WHERE", "end of the query"),
        ("SELECT * FROM c WHERE c.x == 1", "="),
        ("SELECT c.order FROM c", "order"),
        ("SELECT * FROM c WHERE d.x = 1", "'d'"),
        ("SELECT * FROM c JOIN t IN d.x", "'d'"),
        ("SELECT * FROM c JOIN t IN c.x", "SELECT *"),
        ("SELECT * FROM c JOIN c IN c.x", "alias 'c'"),
        ("SELECT VALUE FROBNICATE(c.x) FROM c", "FROBNICATE"),
        ("SELECT VALUE ABS(1, 2) FROM c", "ABS"),
        ("SELECT VALUE ST_DISTANCE(c.x, c.y) FROM c", "ST_DISTANCE"),
        ("SELECT VALUE VectorDistance(c.x, [1]) FROM c", "VECTORDISTANCE"),
        ("SELECT VALUE udf.mine(c.x) FROM c", "udf.mine"),
        ("SELECT * FROM c WHERE NOT c.x = 1", "NOT"),
        ("SELECT * FROM c WHERE COUNT(1) > 1", "COUNT"),
        ("SELECT COUNT(1), c.x FROM c", "'c'"),
        ("SELECT c.x FROM c GROUP BY c.y", "'c'"),
        ("SELECT c.x, COUNT(1) FROM c GROUP BY c.x ORDER BY c.x", "ORDER BY"),
        ("SELECT * FROM c ORDER BY LOWER(c.x)", "ORDER BY"),
        ("SELECT VALUE ARRAY(SELECT TOP 1 VALUE x FROM x IN c.a) FROM c", "TOP"),
        ("SELECT VALUE ARRAY(SELECT VALUE x FROM x IN c.a ORDER BY x.y) FROM c", "ORDER BY"),
        ("SELECT c.a AS x, c.b AS x FROM c", "'x'"),
        ("SELECT * FROM c WHERE c.x LIKE 'a' ESCAPE 'ab'", "ESCAPE"),
        ("SELECT * FROM c HAVING c.x = 1", "c"),
        ("INSERT INTO c", "INSERT"),
    ],
)
def test_what_a_query_gets_wrong_is_named(text: str, named: str) -> None:
    with pytest.raises(CosmosError, match=r".") as refused:
        compile_query(text)
    assert refused.value.status == 400
    assert named in refused.value.message


def test_a_parameter_that_is_not_given_is_named() -> None:
    query = compile_query("SELECT * FROM c WHERE c.x = @missing")
    with pytest.raises(CosmosError, match="@missing"):
        query.run([], {}, 0, PageRequest(1))


def test_order_by_sorts_across_types_as_the_service_does() -> None:
    values: list[Json] = [{"a": 1}, [1], "b", "a", 2, 1.5, True, False, None]
    rows = [Row((b"", at), {"v": value}) for at, value in enumerate(values, 1)]
    page = compile_query("SELECT VALUE c.v FROM c ORDER BY c.v").run(rows, {}, 0, PageRequest(100))
    assert [orjson.loads(result) for result in page.results] == [
        None,
        False,
        True,
        1.5,
        2,
        "a",
        "b",
        [1],
        {"a": 1},
    ]
