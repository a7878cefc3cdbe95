"""The MovieLens loader: what it reads, and where it points when a file breaks a rule."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from matinee_policies.datasets.csv_file import CsvFile
from matinee_policies.datasets.dataset import Dataset
from matinee_policies.datasets.movielens import load_movielens, year_of
from matinee_policies.datasets.movielens_ratings import read_fast, read_row_by_row
from matinee_policies.errors import DataError

MOVIES = """\
movieId,title,genres
10,Été (1995),Comedy|Drama
7,"Silence, The (1963)",Drama
30,Cosmos,(no genres listed)
31,"Say ""Hi"" (2006\u20132007)",Comedy
"""
RATINGS = """\
userId,movieId,rating,timestamp
2,7,4.5,1000000200
1,10,0.5,1000000000
1,7,5.0,1000000100
"""
TAGS = """\
userId,movieId,tag,timestamp
1,10,Slow Burn,1000000000
2,7,slow burn,1000000000
2,7,once,1000000000
2,7, Dark ,1000000000
1,7,dark,1000000000
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "ml-tiny"
    folder.mkdir()
    write(folder, "movies.csv", MOVIES)
    write(folder, "ratings.csv", RATINGS)
    write(folder, "tags.csv", TAGS)
    return folder


def write(folder: Path, name: str, text: str | bytes) -> None:
    raw = text.encode() if isinstance(text, str) else text
    (folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)


def refusal(folder: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        load_movielens(folder)
    return caught.value


def assert_tiny(dataset: Dataset) -> None:
    catalogue, interactions = dataset.catalogue, dataset.interactions
    assert catalogue.ids.tolist() == [10, 7, 30, 31]
    assert catalogue.titles[0] == "Été (1995)"
    assert catalogue.titles[3] == 'Say "Hi" (2006\u20132007)'
    assert catalogue.years.tolist() == [1995, 1963, 0, 2006]
    assert catalogue.genre_names == ("Comedy", "Drama")
    assert catalogue.genres.tolist() == [
        [True, True],
        [False, True],
        [False, False],
        [True, False],
    ]
    assert len(catalogue.people.names) == 0
    assert interactions.user_ids.tolist() == [1, 2]
    assert interactions.matrix.toarray().tolist() == [[0.5, 5, 0, 0], [0, 4.5, 0, 0]]
    assert interactions.times.tolist() == [1000000000, 1000000100, 1000000200]
    assert interactions.rating_range == (0.5, 5.0)


def test_plain_files(folder: Path) -> None:
    dataset = load_movielens(folder)
    assert_tiny(dataset)
    assert dataset.name == "ml-tiny"
    assert dataset.description == (
        "MovieLens tiny, 2 users, 4 films, 3 ratings from 2001-09-09 to 2001-09-09"
    )


def test_gzip_files(folder: Path) -> None:
    for name, text in (("movies.csv", MOVIES), ("ratings.csv", RATINGS)):
        (folder / name).unlink()
        write(folder, f"{name}.gz", text)
    assert_tiny(load_movielens(folder))


def test_keywords_are_tags_used_twice(folder: Path) -> None:
    keywords = load_movielens(folder).catalogue.keywords
    assert keywords.names == ("dark", "slow burn")
    assert [keywords.of(row) for row in range(4)] == [
        ("slow burn",),
        ("dark", "slow burn"),
        (),
        (),
    ]


def test_tags_are_optional(folder: Path) -> None:
    (folder / "tags.csv").unlink()
    dataset = load_movielens(folder)
    assert_tiny(dataset)
    assert dataset.catalogue.keywords.names == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: "\ufeff" + text,
        lambda text: "\n".join(f"{line},x" for line in text.splitlines()),
    ],
    ids=["crlf", "no newline at the end", "byte order mark", "another column"],
)
@pytest.mark.parametrize(("name", "text"), [("ratings.csv", RATINGS), ("movies.csv", MOVIES)])
def test_harmless_differences(folder: Path, name: str, text: str, change: object) -> None:
    assert callable(change)
    write(folder, name, change(text))
    assert_tiny(load_movielens(folder))


def test_quoted_numbers_and_another_order_of_columns(folder: Path) -> None:
    rows = [line.split(",") for line in RATINGS.splitlines()]
    write(folder, "ratings.csv", "\n".join(",".join(row[::-1]) for row in rows))
    assert_tiny(load_movielens(folder))
    write(folder, "ratings.csv", "\n".join(",".join(f'"{x}"' for x in row) for row in rows))
    assert_tiny(load_movielens(folder))


@pytest.mark.parametrize(
    ("title", "year"),
    [
        ("Toy Story (1995)", 1995),
        ("Metropolis (1927) ", 1927),
        ("Show (2006-2007)", 2006),
        ("Show (2006\u2013)", 2006),
        ("2001: A Space Odyssey", 0),
        ("Blade Runner (2049) returns", 0),
        ("Odd (1066)", 0),
        ("Odd (19950)", 0),
        ("Odd (१९९५)", 0),
    ],
)
def test_year_stands_at_the_end_of_the_title(title: str, year: int) -> None:
    assert year_of(title) == year


CASES: dict[str, tuple[str, str | bytes, int | None, str]] = {
    "missing column": ("ratings.csv", RATINGS.replace("rating,", "stars,"), 1, "column 'rating'"),
    "missing column of movies": ("movies.csv", MOVIES.replace("genres", "g"), 1, "column 'genres'"),
    "repeated column": ("ratings.csv", RATINGS.replace("timestamp", "userId"), 1, "'timestamp'"),
    "column twice": (
        "movies.csv",
        "movieId,title,genres,title\n1,a,b,c\n",
        1,
        "columns of the header must be distinct",
    ),
    "too few fields": ("ratings.csv", RATINGS.replace("4.5,", ""), 2, "must have 4 fields, got 3"),
    "too many fields": ("ratings.csv", RATINGS + "3,7,4.0,1,9\n", 5, "must have 4 fields, got 5"),
    "blank line": ("ratings.csv", RATINGS.replace("\n1,10", "\n\n1,10"), 3, "4 fields, got 0"),
    "comma in a title": ("movies.csv", MOVIES + "9,Good, Bad (1966),War\n", 6, "3 fields, got 4"),
    "open quote": ("movies.csv", MOVIES.replace('Silence, The (1963)"', "S"), 3, "balanced"),
    "quote in ratings": ("ratings.csv", RATINGS.replace("2,7", '"2,7'), 2, "balanced"),
    "text after a quote": ("movies.csv", MOVIES + '9,"A"B,War\n', 6, "must be valid CSV"),
    "quote over two lines": ("movies.csv", MOVIES + '9,x"A,"B\nC",War\n', 6, "must be valid CSV"),
    "letters for a number": ("ratings.csv", RATINGS.replace("4.5", "good"), 2, "got 'good'"),
    "empty rating": ("ratings.csv", RATINGS.replace("4.5", ""), 2, "must be a number, got ''"),
    "hexadecimal user": ("ratings.csv", RATINGS.replace("2,7", "0x2,7"), 2, "got '0x2'"),
    "underscore in a number": ("ratings.csv", RATINGS.replace("2,7", "2_0,7"), 2, "got '2_0'"),
    "space in a number": ("ratings.csv", RATINGS.replace("2,7", " 2,7"), 2, "got ' 2'"),
    "fraction of a user": ("ratings.csv", RATINGS.replace("2,7", "2.0,7"), 2, "got '2.0'"),
    "negative user": ("ratings.csv", RATINGS.replace("2,7", "-2,7"), 2, "whole number >= 0"),
    "huge user": ("ratings.csv", RATINGS.replace("2,7", "9" * 30 + ",7"), 2, "userId must be"),
    "letters for a movie": ("movies.csv", MOVIES.replace("10,", "ten,"), 2, "got 'ten'"),
    "rating above": ("ratings.csv", RATINGS.replace("5.0", "5.5"), 4, "0.5 and 5.0, got '5.5'"),
    "rating below": ("ratings.csv", RATINGS.replace("0.5", "0.0"), 3, "0.5 and 5.0, got '0.0'"),
    "rating nan": ("ratings.csv", RATINGS.replace("0.5", "nan"), 3, "0.5 and 5.0, got 'nan'"),
    "rating infinite": (
        "ratings.csv",
        RATINGS.replace("0.5", "-inf"),
        3,
        "0.5 and 5.0, got '-inf'",
    ),
    "rating overflows": ("ratings.csv", RATINGS.replace("0.5", "1e999"), 3, "got '1e999'"),
    "negative time": ("ratings.csv", RATINGS.replace("1000000100", "-1"), 4, "timestamp must be"),
    "milliseconds": (
        "ratings.csv",
        RATINGS.replace("1000000100", "1000000100000"),
        4,
        "unix secon",
    ),
    "movie twice": (
        "movies.csv",
        MOVIES + "7,Again (1999),War\n",
        6,
        "line 3 already has it, got 7",
    ),
    "rating twice": (
        "ratings.csv",
        RATINGS + "1,10,3.0,5\n",
        5,
        "(userId, movieId) must be unique, line 3 already has it, got (1, 10)",
    ),
    "unknown movie": ("ratings.csv", RATINGS + "1,99,3.0,5\n", 5, "file of movies, got 99"),
    "unknown movie in tags": ("tags.csv", TAGS + "1,99,x,5\n", 7, "file of movies, got 99"),
    "empty tag": ("tags.csv", TAGS + "1,7,  ,5\n", 7, "tag must not be empty"),
    "empty title": ("movies.csv", MOVIES + "9, ,War\n", 6, "title must not be empty"),
    "no genres field": ("movies.csv", MOVIES + "9,A,\n", 6, "genres must be names"),
    "empty genre": ("movies.csv", MOVIES + "9,A,War||Drama\n", 6, "genres must be names"),
    "control character": ("movies.csv", MOVIES + "9,A\x00B,War\n", 6, "control characters"),
    "empty file": ("ratings.csv", "", None, "file must not be empty"),
    "empty file of movies": ("movies.csv", "", None, "file must not be empty"),
    "header only": ("ratings.csv", "userId,movieId,rating,timestamp\n", None, "at least one row"),
    "header of movies only": ("movies.csv", "movieId,title,genres\n", None, "at least one row"),
    "latin-1": ("movies.csv", MOVIES.encode("cp1252"), 2, "text must be UTF-8, got b'\\xc9'"),
    "utf-16": ("ratings.csv", RATINGS.encode("utf-16"), 1, "text must be UTF-8"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_files_are_refused_with_line_and_rule(folder: Path, case: str) -> None:
    name, text, line, rule = CASES[case]
    write(folder, name, text)
    error = refusal(folder)
    assert rule in str(error)
    assert (error.path, error.line) == (folder / name, line)
    # The same fault within a compressed file.
    (folder / name).unlink()
    write(folder, f"{name}.gz", text)
    compressed = refusal(folder)
    assert (compressed.path, compressed.line) == (folder / f"{name}.gz", line)
    assert compressed.rule == error.rule


def test_missing_files_and_folders(folder: Path, tmp_path: Path) -> None:
    assert "folder must exist" in str(refusal(tmp_path / "nowhere"))
    (folder / "ratings.csv").unlink()
    error = refusal(folder)
    assert error.path == folder / "ratings.csv"
    assert "file must exist, plain or as .csv.gz" in str(error)


def test_plain_and_gzip_side_by_side_are_refused(folder: Path) -> None:
    write(folder, "ratings.csv.gz", RATINGS)
    assert "must not stand beside ratings.csv.gz" in str(refusal(folder))


def test_a_folder_in_place_of_a_file(folder: Path) -> None:
    (folder / "ratings.csv").unlink()
    (folder / "ratings.csv").mkdir()
    assert "file must be readable" in str(refusal(folder))


def test_broken_gzip(folder: Path) -> None:
    whole = gzip.compress(RATINGS.encode() * 50)
    (folder / "ratings.csv").unlink()
    path = folder / "ratings.csv.gz"
    for cut in (len(whole) - 1, len(whole) - 8, len(whole) // 2, 12):
        path.write_bytes(whole[:cut])
        assert "must be a complete gzip file" in str(refusal(folder))
    path.write_bytes(RATINGS.encode())
    assert "must be an undamaged gzip file" in str(refusal(folder))
    for place in range(12, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        assert "gzip file" in str(refusal(folder))
    path.write_bytes(b"")
    assert "file must not be empty" in str(refusal(folder))


def test_the_fast_reader_takes_the_good_path(folder: Path) -> None:
    file = CsvFile(folder / "ratings.csv", RATINGS.encode())
    assert read_fast(file) is not None


def test_what_the_fast_reader_takes_the_strict_one_reads_alike() -> None:
    random = np.random.default_rng(11)
    alphabet = [*'0123456789.,-\r\n "xe+', "\n2,7,3,9\n", ",,", "\r\n", "nan", "\ufeff"]
    taken = refused = 0
    for _ in range(4_000):
        text = list(RATINGS)
        for _ in range(int(random.integers(1, 4))):
            place = int(random.integers(0, len(text)))
            kind = random.integers(3)
            letter = alphabet[random.integers(len(alphabet))]
            text[place : place + (kind > 0)] = [] if kind == 2 else [letter]
        file = CsvFile(Path("ratings.csv"), "".join(text).encode())
        fast = read_fast(file)
        try:
            strict = read_row_by_row(file)
        except DataError:
            refused += 1
            assert fast is None, "".join(text)
            continue
        if fast is not None:
            taken += 1
            for name in ("users", "movies", "ratings", "times"):
                np.testing.assert_array_equal(getattr(fast, name), getattr(strict, name))
    assert taken > 300
    assert refused > 300


def test_a_large_file_is_read_by_the_fast_reader_in_blocks() -> None:
    random = np.random.default_rng(3)
    n = 200_000
    users, movies = np.divmod(np.arange(n), 500)
    stars = random.integers(1, 11, n) / 2
    rows = [f"{u},{m},{s},{t}" for u, m, s, t in zip(users, movies, stars, range(n), strict=True)]
    file = CsvFile(
        Path("ratings.csv"), ("userId,movieId,rating,timestamp\n" + "\n".join(rows)).encode()
    )
    columns = read_fast(file)
    assert columns is not None
    np.testing.assert_array_equal(columns.users, users)
    np.testing.assert_array_equal(columns.ratings, stars)
    np.testing.assert_array_equal(columns.times, np.arange(n))
