"""Personal data: what patterns and check digits find, what they leave alone, and how long that takes."""

from __future__ import annotations

import re
import string
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.feedback.check_digits import iban_length, is_iban, passes_luhn, passes_verhoeff
from functions.feedback.personal_data import (
    PersonalDataKind,
    find_personal_data,
    has_quote,
    mask_personal_data,
    mask_quotes,
)
from tests.support.cpu_time import LeastTime

LONGEST = 20_000
WORDS = st.text(string.ascii_lowercase + string.digits + "_", min_size=1, max_size=20)
AROUND = st.sampled_from(["{}", "It is {}.", "({})", "mine: {}, thanks", "„{}“", "a\n{}\nb"])


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to ann.b+x@mail.example.co.uk!", "write to [email]!"),
        ("an\u200bn@exam\u00adple.com", "[email]"),
        ("\uff21\uff2e\uff2e\uff20example.com", "[email]"),
        ("müller@straße.de", "[email]"),
        ("+49 (0)30 123456-78 or 030/1234567, 030 7654321", "[phone] or [phone], [phone]"),
        ("call (555) 123-4567 or 415.555.2671", "call [phone] or [phone]"),
        ("0049 30 1234567", "[phone]"),
        ("٠٦ ١٢ ٣٤ ٥٦ ٧٨", "[phone]"),
        ("DE89 3704 0044 0532 0130 00 is mine", "[iban] is mine"),
        ("nl91abna0417164300", "[iban]"),
        ("GB29-NWBK-6016-1331-9268-19", "[iban]"),
        ("a@b.de DE89 3704 0044 0532 0130 00 12", "[email] [iban]"),  # a number that goes on behind it
        ("4111 1111 1111 1111, 378282246310005, 5555-5555-5555-4444", "[card], [card], [card]"),
    ],
)
def test_addresses_and_accounts_are_masked(text: str, masked: str) -> None:
    assert mask_personal_data(text).text == masked


@pytest.mark.parametrize(
    "number",
    [
        "123-45-6789",  # United States
        "86 095 742 719",  # Germany
        "44051401359",  # Poland
        "92112534470",  # Poland, without a 0 among what is weighed
        "529.982.247-25",  # Brazil
        "18794523673",  # Brazil
        "85.07.30-033 28",  # Belgium
        "17073003384",  # Belgium, born after 1999
        "01010750160",  # Norway
        "25118961172",  # Norway
        "811218-9876",  # Sweden
        "198112189876",  # Sweden, with the century
        "811278-9873",  # Sweden, a coordination number
        "2345 6789 0124",  # India
        "2 55 08 14 168 025 38",  # France
        "12345678Z",  # Spain
        "X-1234567-L",  # Spain, a foreigner's
        "RSSMRA85T10A562S",  # Italy
        "131052-308T",  # Finland
        "11010519491231002X",  # China
        "440524198811278564",  # China
    ],
)
def test_national_ids_are_masked_and_with_another_check_digit_they_are_not(number: str) -> None:
    last = number[-1]
    others = {c for c in (string.digits if last.isdigit() else string.ascii_uppercase) if c != last}
    spoilt = [number[:-1] + other for other in sorted(others)]

    assert mask_personal_data(f"my id {number}").text == "my id [national id]"
    if number != "123-45-6789":  # has none
        left = [text for text in spoilt if PersonalDataKind.NATIONAL_ID not in mask_personal_data(text).kinds]
        assert (
            len(left) >= len(spoilt) - 2
        )  # of eleven digits, another country's check may be right by chance


@pytest.mark.parametrize(
    "text",
    [
        "Order 123456789 of 2026-01-31, 01/02/2026 and 31.01.26",
        "It costs 1,234,567.89 or 0.1234567890 or 10 000 000",
        "version 1.2.3.4.5.6.7.8 on 10.0.0.1 and 192.168.100.200",
        "4111 1111 1111 1112 is no card",
        "DE88 3705 1144 1532 1130 11 is no account",
        "XX89 3705 1144 1532 1130 11",
        "666-45-6789, 900-45-6789 and 123-00-6789 are nobody's",
        "1234 5678 9012 3456",
        "at 10:30:00 or 2026-01-31T10:30:00Z",
        "me@home and @ann, a@b",
        "12345678A",
        "111222333",
        "",
    ],
)
def test_other_numbers_and_words_are_left_alone(text: str) -> None:
    assert mask_personal_data(text).text == text


def test_a_number_that_only_its_name_tells_is_found_by_it() -> None:
    assert mask_personal_data("BSN 111222333, order 111222333").text.startswith("BSN [national id]")


def test_a_mask_says_nothing_of_what_it_hides() -> None:
    assert {kind.mask for kind in PersonalDataKind if re.search(r"\d|@", kind.mask)} == set()


@given(st.sampled_from(["DE", "FR", "GB", "NO", "MT"]), st.data(), AROUND)
@pytest.mark.slow
def test_each_iban_is_found_and_none_with_one_digit_changed(
    country: str, data: st.DataObject, around: str
) -> None:
    length = iban_length(country)
    assert length is not None
    account = data.draw(st.text(string.digits, min_size=length - 4, max_size=length - 4))
    check = next(f"{n:02}" for n in range(2, 99) if is_iban(f"{country}{n:02}{account}"))
    iban = f"{country}{check}{account}"
    place = data.draw(st.integers(4, length - 1))
    other = data.draw(st.sampled_from([digit for digit in string.digits if digit != iban[place]]))
    grouped = " ".join(iban[at : at + 4] for at in range(0, length, 4))

    for written in (iban, grouped, grouped.lower()):
        assert PersonalDataKind.IBAN in mask_personal_data(around.format(written)).kinds
        assert account[:6] not in mask_personal_data(around.format(written)).text
    assert not is_iban(iban[:place] + other + iban[place + 1 :])


@given(st.text(string.digits, min_size=15, max_size=15), AROUND)
def test_each_card_is_found_however_it_is_grouped(digits: str, around: str) -> None:
    number = "4" + digits[1:]
    card = next(f"{number}{n}" for n in range(10) if passes_luhn(f"{number}{n}"))
    for gap in ("", " ", "-", " - "):
        written = gap.join(card[at : at + 4] for at in range(0, 16, 4))
        assert mask_personal_data(around.format(written)).text == around.format("[card]")


@given(WORDS, st.lists(WORDS, min_size=2, max_size=4), AROUND)
def test_each_email_address_is_found(name: str, domain: list[str], around: str) -> None:
    address = f"{name}@{'.'.join(domain)}"

    assert mask_personal_data(around.format(address)).text == around.format("[email]")


@given(st.text(string.digits, min_size=1, max_size=20), st.integers(0, 9))
def test_one_check_digit_is_right_and_no_other(digits: str, wrong: int) -> None:
    for passes in (passes_luhn, passes_verhoeff):
        [right] = [digit for digit in string.digits if passes(digits + digit)]
        assert passes(f"{digits}{wrong}") == (str(wrong) == right)


@given(st.text())
@pytest.mark.slow
def test_places_are_in_order_and_apart_and_nothing_else_is_changed(text: str) -> None:
    spans = find_personal_data(text)

    assert all(one.end <= other.start for one, other in pairwise(spans))
    assert all(one.start < one.end for one in spans)
    if not spans:
        assert mask_personal_data(text).kinds == frozenset()


@given(
    st.lists(st.sampled_from([*"0123456789+-./() @a", "DE89", "ann@", ".com", "é", "\u0661"]), max_size=200)
)
@pytest.mark.slow
def test_what_is_masked_holds_no_personal_data_any_more(parts: list[str]) -> None:
    masked = mask_personal_data("".join(parts)).text

    assert PersonalDataKind.EMAIL not in mask_personal_data(masked).kinds
    assert PersonalDataKind.IBAN not in mask_personal_data(masked).kinds


HOSTILE = (
    *"a1@.-+( é\u0661",
    *("1 ", "12 ", "1234 ", "12345678 ", "a@", "a.", "a@a.", "DE12", "DE12 ", "+1 ", "0 1-2/", "1-", "(0) "),
    *("ABCDEF12A", "X1234567", "123456-", "[email]", "4111 ", "00", "a@b.c.d.e.f.g.h.i.j.", "%+'-", "0.1"),
)


@pytest.mark.parametrize("piece", HOSTILE)
def test_twenty_thousand_characters_take_a_bounded_time(piece: str) -> None:
    text = (piece * LONGEST)[:LONGEST]
    least = LeastTime(0.5)

    for _ in least.tries():
        mask_personal_data(text)

    assert least.seconds < 0.5


@pytest.mark.slow
@settings(max_examples=10)
@given(st.lists(st.sampled_from(HOSTILE), min_size=2, max_size=4))
def test_no_mixture_takes_more_than_the_longest_text_may(pieces: list[str]) -> None:
    text = ("".join(pieces) * LONGEST)[:LONGEST]
    least = LeastTime(0.5)

    for _ in least.tries():
        mask_personal_data(text)

    assert least.seconds < 0.5


def test_quotes_are_masked_as_words_the_longest_first() -> None:
    name, other = PersonalDataKind.NAME, PersonalDataKind.OTHER
    quotes = [("Ann", name), ("Ann Smith", name), ("c++", other)]

    masked = mask_quotes("ANN SMITH and Ann, not Annette; c++", quotes)

    assert masked == "[name] and [name], not Annette; [other]"


@pytest.mark.parametrize(("quote", "found"), [("ann", True), ("An", False), ("Smith, Ann", False)])
def test_a_quote_stands_in_a_text_as_words_of_its_own(quote: str, found: bool) -> None:  # noqa: FBT001  # a case
    assert has_quote("Ann Smith", quote) is found
