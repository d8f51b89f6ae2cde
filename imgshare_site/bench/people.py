"""People who do not exist: names as frequent as names are, and the slips that happen when a hospital types them in.

Seeded, so that the same number gives the same people on every machine.
"""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import accumulate, islice, product

WRITTEN = "B BR D F FR G GR H J K KL L M N P R S SCH ST T TR V W Z/CH CK HN L LD LL M N ND NG NN R RG RT S SS T TZ"
STARTS, ENDS = (letters.split() for letters in WRITTEN.split("/"))
MIDDLES = ["A", "E", "I", "O", "U", "Ü", "EI", "AU", "IE"]
TAILS = ["", "ER", "MANN", "IG", "OVA", "SEN", "I", "ESCU", "INSKI", "EZ"]
GIVEN_TAILS = ["", "A", "E", "I", "US", "INA", "IAN", "O"]
FIRST_DAY, DAYS = date(1925, 1, 1), 100 * 365
KEYS = {"A": "QSZ", "E": "WRD", "I": "UOK", "O": "IPL", "N": "BMH", "S": "ADX", "R": "ETF", "T": "RYG"}  # neighbours


def _invented(tails: list[str], count: int, seed: int) -> list[str]:
    """So many different names, in an order of their own."""
    made = ["".join(parts) for parts in product(STARTS, MIDDLES, ENDS, tails)]
    random.Random(seed).shuffle(made)  # noqa: S311
    return list(islice(dict.fromkeys(made), count))


def _frequencies(count: int, flat: int) -> list[float]:
    """The n-th name is borne by a share of 1/(n + flat): with 50, one person in a hundred bears the most frequent."""
    return list(accumulate(1 / (rank + flat) for rank in range(count)))


FAMILY, GIVEN = _invented(TAILS, 25_000, 1), _invented(GIVEN_TAILS, 2_000, 2)
FAMILY_SHARES, GIVEN_SHARES = _frequencies(len(FAMILY), 15), _frequencies(len(GIVEN), 8)


def people(count: int, *, seed: int) -> Iterator[dict[str, str]]:
    """Rows as `manage.py bench matching` reads them. Two in a hundred are twins; some have two given names."""
    chance = random.Random(seed)  # noqa: S311
    before: dict[str, str] = {}
    for number in range(count):
        family, given = _draw(chance, FAMILY, FAMILY_SHARES), _draw(chance, GIVEN, GIVEN_SHARES)
        if chance.random() < 0.15:
            given += " " + _draw(chance, GIVEN, GIVEN_SHARES)
        born = f"{FIRST_DAY + timedelta(days=chance.randrange(DAYS)):%Y%m%d}"
        if before and chance.random() < 0.01:
            family, born = before["family"], before["birth_date"]
        before = {
            "id": f"{number:07}",
            "family": family,
            "given": given,
            "birth_date": born,
            "sex": chance.choice("MF"),
        }
        yield before


def _draw(chance: random.Random, names: list[str], shares: list[float]) -> str:
    return chance.choices(names, cum_weights=shares)[0]


def received(row: dict[str, str], *, seed: int) -> dict[str, str]:
    """The same person as another hospital writes them: half as they are, the others with one slip or two."""
    chance = random.Random(f"{seed} {row['id']}")  # noqa: S311
    row = dict(row)
    for slip in chance.sample(list(SLIPS), k=chance.choices((0, 1, 2), weights=(5, 4, 1))[0]):
        slip(row, chance)
    return row


def _misspelt(name: str, chance: random.Random) -> str:
    if not name:
        return name
    at = chance.randrange(len(name))
    kind = chance.randrange(4)
    if kind == 0 and at + 1 < len(name):
        return name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    if kind == 1 and len(name) > 2:
        return name[:at] + name[at + 1 :]
    if kind == 2:
        return name[:at] + name[at] + name[at:]
    return name[:at] + chance.choice(KEYS.get(name[at], "AENR")) + name[at + 1 :]


def _family_misspelt(row: dict, chance: random.Random) -> None:
    row["family"] = _misspelt(row["family"], chance)


def _given_misspelt(row: dict, chance: random.Random) -> None:
    row["given"] = _misspelt(row["given"], chance)


def _umlauts(row: dict, chance: random.Random) -> None:
    row["family"] = row["family"].replace("Ü", chance.choice(("UE", "U")))


def _swapped(row: dict, chance: random.Random) -> None:
    row["family"], row["given"] = row["given"], row["family"]


def _married(row: dict, chance: random.Random) -> None:
    other = _draw(chance, FAMILY, FAMILY_SHARES)
    row["family"] = chance.choice((f"{row['family']}-{other}", other))


def _shortened(row: dict, chance: random.Random) -> None:
    first = row["given"].split()[0]
    row["given"] = chance.choice((first, first[0], ""))


def _other_day(row: dict, chance: random.Random) -> None:
    born = row["birth_date"]
    if not born:
        return
    at = chance.choice((3, 5, 7))
    typed = born[:at] + chance.choice("0123456789") + born[at + 1 :]
    row["birth_date"] = chance.choice((born[:4] + born[6:] + born[4:6], born[:4] + "0101", born[:4], "", typed))


SLIPS = (_family_misspelt, _given_misspelt, _umlauts, _swapped, _married, _shortened, _other_day)
