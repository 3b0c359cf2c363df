"""Hash lists of others: import, export, and the effect of a wrong line."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import InvalidInput
from edge.match import (
    AudioPrint,
    Bank,
    Entry,
    EntryKind,
    Existing,
    Footage,
    HashListFormat,
    HashRun,
    Import,
    Updated,
    Variant,
    Withdrawal,
    sniff,
    write_hash_list,
)
from edge.match.formats.resumable_lines import START, Lines

H = [f"{n:064x}" for n in range(1, 20)]

words = (
    st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=12)
    .map(str.strip)
    .filter(str.isprintable)
)
entries = st.builds(
    Entry,
    id=words.filter(bool),
    kind=st.sampled_from(EntryKind),
    label=words,
    source=words,
    note=words,
    duration_ms=st.integers(0, 10**9),
    added_ms=st.integers(0, 2**52),
)
runs = st.builds(
    HashRun,
    bits=st.binary(min_size=32, max_size=32),
    start_ms=st.integers(0, 2**32 - 1),
    span_ms=st.integers(0, 10**6),
    quality=st.integers(50, 100),
    variant=st.sampled_from(Variant),
)
footage = st.lists(
    st.builds(Footage, entries, st.lists(runs, min_size=1, max_size=5).map(tuple)),
    max_size=6,
    unique_by=lambda f: f.entry.id,
)


def load(path: Path, form: HashListFormat, **options: object) -> list[Footage | Withdrawal]:
    return list(Import(path, form, **options))  # type: ignore[arg-type]


def text(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize("form", [HashListFormat.CSV, HashListFormat.JSONL])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(items=footage)
def test_what_is_written_is_read_back(tmp_path: Path, form: HashListFormat, items: list[Footage]) -> None:
    out = io.StringIO(newline="")
    assert write_hash_list(items, out, form) == len(items)
    path = tmp_path / "list"
    path.write_text(out.getvalue(), encoding="utf-8", newline="")
    assert load(path, form) == items
    if items:
        assert sniff(path) is form


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(items=st.binary(min_size=1, max_size=200), start_ms=st.integers(0, 2**32 - 1), alone=st.booleans())
def test_jsonl_keeps_audio(tmp_path: Path, items: bytes, start_ms: int, alone: bool) -> None:
    hashes = () if alone else (HashRun(bytes(32)),)
    song = Footage(Entry("song", EntryKind.AUDIO), hashes, AudioPrint(items * 4, start_ms))
    out = io.StringIO()
    write_hash_list([song], out, HashListFormat.JSONL)
    assert load(text(tmp_path / "list", out.getvalue()), HashListFormat.JSONL) == [song]


def test_the_reference_vpdq_files_are_read_whole(shared: Path) -> None:
    path = shared / "reference" / "pdq" / "vpdq-hashes" / "chair-orig-22-sd-bar.txt"
    assert sniff(path) is HashListFormat.VPDQ
    (video,) = load(path, sniff(path), label="fight")
    assert isinstance(video, Footage)
    assert (video.entry.id, video.entry.kind, video.entry.label) == ("chair-orig-22-sd-bar", "video", "fight")
    assert len(video.hashes) == 673
    assert video.hashes[2].start_ms == 67
    out = io.StringIO()
    write_hash_list([video], out, HashListFormat.VPDQ)
    assert out.getvalue().splitlines() == path.read_text().split()


def test_the_reference_search_lists_are_read_whole(shared: Path, tmp_path: Path) -> None:
    path = shared / "reference" / "pdq" / "search" / "haystack.txt"
    assert sniff(path) is HashListFormat.PDQ
    bank = Bank.create(tmp_path / "haystack")
    bank.update(load(path, HashListFormat.PDQ))
    assert {f.entry.id for f in bank.footage()} == set(path.read_text().split())


def test_threatexchange_vpdq_signals(tmp_path: Path) -> None:
    path = text(
        tmp_path / "signals.json",
        json.dumps([f"{H[0]},100,0.0", f"{H[1]},49,1.0"]) + "\n" + json.dumps([f"{H[2]},80,2.5"]) + "\n",
    )
    reader = Import(path, sniff(path))
    one, two = list(reader)
    assert isinstance(one, Footage)
    assert isinstance(two, Footage)
    assert (one.entry.id, two.entry.id) == ("signals", "signals#2")
    assert [r.bits.hex() for r in one.hashes] == [H[0]]
    assert reader.low_quality == 1
    assert two.hashes[0].start_ms == 2500


def test_a_csv_of_others_needs_a_column_hash_and_no_more(tmp_path: Path) -> None:
    path = text(tmp_path / "list.csv", f"PDQ,category\n{H[0]},fight\n{H[1]},\n")
    assert sniff(path) is HashListFormat.CSV
    one, two = load(path, HashListFormat.CSV, label="other")
    assert isinstance(one, Footage)
    assert isinstance(two, Footage)
    assert (one.entry.id, one.entry.label, one.entry.kind) == (H[0], "fight", EntryKind.IMAGE)
    assert two.entry.label == "other"


def test_a_list_from_a_spreadsheet_has_a_byte_order_mark(tmp_path: Path) -> None:
    for name, text in (("list.csv", f"hash,label\r\n{H[0]},fight\r\n"), ("list.txt", f"{H[0]}\r\n")):
        path = tmp_path / name
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
        (change,) = Import(path, sniff(path))
        assert isinstance(change, Footage)
        assert change.entry.id == H[0]


def test_a_hash_that_a_list_adds_and_withdraws_is_not_in_the_bank(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known")
    one = Footage(Entry(H[0], EntryKind.IMAGE), (HashRun(bytes.fromhex(H[0])),))
    assert bank.update([one, Withdrawal(H[0])]).added == 0
    assert bank.update([one, Withdrawal(H[0]), one]).added == 1
    assert [entry.id for entry, _ in bank.entries()] == [H[0]]


def test_a_page_of_stopncii_adds_withdraws_and_remembers_its_position(tmp_path: Path) -> None:
    def record(digits: str, status: str, cases: object, kind: str = "ImagePDQ") -> dict[str, object]:
        return {"hashValue": digits, "hashStatus": status, "caseNumbers": cases, "signalType": kind}

    page = {
        "count": 6,
        "nextSetTimestamp": 1625175071,
        "nextPageToken": "W3siY29",
        "hasMoreRecords": True,
        "hashRecords": [
            record(H[0], "Active", {"a": "Active", "b": "Withdrawn"}),
            record(H[1], "Withdrawn", {"a": "Withdrawn"}),
            record(H[2], "Received", {"a": "Withdrawn", "b": "Deleted"}),
            record(H[3], "Received", []),
            record("d41d8cd98f00b204e9800998ecf8427e", "Active", {}, "VideoMD5"),
            record(H[4], "Deleted", {}),
        ],
    }
    path = text(tmp_path / "page.json", json.dumps(page, indent=2))
    reader = Import(path, sniff(path))
    bank = Bank.create(tmp_path / "stopncii")
    bank.update(load(text(tmp_path / "old", f"{H[1]}\n{H[5]}\n"), HashListFormat.PDQ))
    updated = bank.update(reader, checkpoints=lambda: reader.checkpoints)
    assert (updated.added, updated.removed, reader.other_kinds) == (2, 1, 1)
    assert {entry.id for entry, _ in bank.entries()} == {H[0], H[3], H[5]}
    assert bank.manifest.checkpoints == {
        "stopncii.nextSetTimestamp": "1625175071",
        "stopncii.nextPageToken": "W3siY29",
    }


@pytest.mark.parametrize(
    ("form", "content", "problem"),
    [
        (HashListFormat.PDQ, f"{H[0]}\n\nabc\n", ":3: hash: a PDQ hash has 64 hexadecimal digits, not 3"),
        (HashListFormat.PDQ, f"{'x' * 64}\n", ":1: hash: not hexadecimal"),
        (HashListFormat.VPDQ, f"0,100,{H[0]},0\n1,100,{H[1]}\n", ":2: wants frame,quality,hash,seconds"),
        (HashListFormat.VPDQ, f"0,high,{H[0]},0\n", ":1: quality: wants a whole number"),
        (HashListFormat.VPDQ, f"0,101,{H[0]},0\n", ":1: hash.quality: 101"),
        (HashListFormat.VPDQ, f"0,100,{H[0]},nan\n", ":1: seconds: nan is out of range"),
        (HashListFormat.VPDQ, f"0,100,{H[0]},1e9\n", ":1: hash.start_ms: "),
        (HashListFormat.VPDQ_JSON, '["x"]\n', ":1: wants hash,quality,seconds"),
        (HashListFormat.VPDQ_JSON, "[1]\n", ":1: wants a list"),
        (HashListFormat.VPDQ_JSON, "[" * 100_000 + "\n", ":1: JSON"),
        (HashListFormat.CSV, "id,label\n", ":1: wants a header with a column hash"),
        (HashListFormat.CSV, f"hash,id\n{H[0]}\n", ":2: has 1 fields, the header 2"),
        (
            HashListFormat.CSV,
            f'{H[0]},100,a.jpg\n{H[1]},100,"b.jpg\n{H[2]},100,c.jpg\n',
            ":2: a quotation mark",
        ),
        (HashListFormat.CSV, f'{H[0]},100,a.jpg\n{H[1]},9,"b.jpg\n{H[2]},9,"c.jpg\n', ":2: a quotation mark"),
        (HashListFormat.CSV, f'hash,note\n{H[0]},"5 inch\n{H[1]},ok\n', ":2: a quotation mark"),
        (HashListFormat.CSV, f"hash,quality\n{H[0]},1.0\n{H[1]},0.93\n", ":3: quality: wants 0 to 100"),
        (
            HashListFormat.CSV,
            f"hash,start_ms\n{H[0]},2.0\n{H[1]},1.5\n",
            ":3: start_ms: wants a whole number",
        ),
        (
            HashListFormat.JSONL,
            f'{{"id": "a", "duration_ms": 1.5, "hashes": [["{H[0]}", 0, 0, 0, "original"]]}}\n',
            ":1: duration_ms: wants a whole number, got 1.5",
        ),
        (HashListFormat.CSV, f"hash,variant\n{H[0]},upside-down\n", ":2: variant: "),
        (HashListFormat.STOPNCII, "{}", ":1: wants an object with a list hashRecords"),
        (
            HashListFormat.STOPNCII,
            '{"hashRecords": [{"signalType": "ImagePDQ"}]}',
            ":1: hashRecords[0].hashValue",
        ),
        (HashListFormat.STOPNCII, '{"hashRecords": [3]}', ":1: hashRecords[0].record: is not an object"),
        (HashListFormat.JSONL, '{"id": "a", "hashes": []}\n', ":1: hashes: wants a list"),
        (
            HashListFormat.JSONL,
            '{"id": "a", "kind": "song", "hashes": [["", 0, 0, 0, ""]]}\n',
            ":1: hash: a PDQ",
        ),
        (HashListFormat.JSONL, '{"id": "a", "hashes": [], "sound": 3}\n', ":1: sound: wants an object"),
        (
            HashListFormat.JSONL,
            '{"id": "a", "hashes": [], "sound": {"items": "?"}}\n',
            ":1: sound.items: is not base64",
        ),
        (
            HashListFormat.JSONL,
            '{"id": "a", "hashes": [], "sound": {"items": "AAA="}}\n',
            ":1: sound.items: has 2 bytes",
        ),
        (HashListFormat.JSONL, '{"id": 3}\n', ":1: hashes"),
    ],
)
def test_wrong_lines_are_named_and_nothing_is_half_imported(
    tmp_path: Path, form: HashListFormat, content: str, problem: str
) -> None:
    path = text(tmp_path / "list", content)
    bank = Bank.create(tmp_path / "known")
    before = bank.digest
    with pytest.raises(InvalidInput) as caught:
        bank.update(Import(path, form))
    assert str(caught.value).startswith(f"{path}{problem}")
    assert Bank.open(tmp_path / "known").digest == before
    assert not list(tmp_path.glob("*.seg"))


def test_files_that_are_no_lists_are_refused(tmp_path: Path) -> None:
    noise = tmp_path / "noise"
    noise.write_bytes(np.random.default_rng(1).bytes(1000))
    with pytest.raises(InvalidInput, match="UTF-8"):
        load(noise, HashListFormat.PDQ)
    with pytest.raises(InvalidInput, match="no known format"):
        sniff(text(tmp_path / "prose", "It was a dark and stormy night"))
    with pytest.raises(InvalidInput, match="no known format"):
        sniff(text(tmp_path / "empty", ""))
    for reading in (sniff, lambda path: load(path, HashListFormat.PDQ)):
        with pytest.raises(InvalidInput, match="No such file"):
            reading(tmp_path / "absent")


def test_formats_that_cannot_hold_it_say_so() -> None:
    item = Footage(Entry("a", EntryKind.IMAGE), (HashRun(bytes(32)),))
    with pytest.raises(InvalidInput, match="one video"):
        write_hash_list([item, item], io.StringIO(), HashListFormat.VPDQ)
    with pytest.raises(InvalidInput, match="not written"):
        write_hash_list([item], io.StringIO(), HashListFormat.STOPNCII)


def rows_of(*rows: tuple[str, int, str]) -> str:
    """CSV of entry, hash number and label."""
    return "entry,hash,start_ms,label\n" + "".join(f"{e},{H[n]},{40 * n},{label}\n" for e, n, label in rows)


@pytest.mark.parametrize("existing", Existing)
@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (
            [("A", 0, ""), ("B", 1, ""), ("A", 2, "")],
            ":4: entry: rows of 'A' are not together; sort by entry",
        ),
        (
            [("A", 0, "fight"), ("A", 1, "gore")],
            ":3: label: rows of entry 'A' want the same, got 'gore' after 'fight'",
        ),
    ],
)
def test_a_csv_that_would_lose_hashes_of_an_entry_is_refused(
    tmp_path: Path, existing: Existing, rows: list[tuple[str, int, str]], problem: str
) -> None:
    path = text(tmp_path / "list", rows_of(*rows))
    bank = Bank.create(tmp_path / "known")
    bank.add_footage([Footage(Entry("C", EntryKind.IMAGE), (HashRun(bytes(32)),))])
    before = bank.digest
    with pytest.raises(InvalidInput) as caught:
        bank.update(Import(path, HashListFormat.CSV), existing=existing)
    assert str(caught.value) == f"{path}{problem}"
    assert Bank.open(tmp_path / "known").digest == before
    assert len(list(tmp_path.glob("*.seg"))) == 1
    together = text(path, rows_of(("A", 0, ""), ("A", 2, ""), ("B", 1, "")))
    assert bank.update(Import(together, HashListFormat.CSV), existing=existing).added == 2
    assert [len(f.hashes) for f in bank.footage()] == [1, 2, 1]


@pytest.mark.parametrize("header", ["hash,entry", "hash,other"])
def test_a_csv_may_list_an_image_that_only_its_hash_names_again(tmp_path: Path, header: str) -> None:
    path = text(tmp_path / "list.csv", f"{header}\n" + "".join(f"{H[n]},{H[n]}\n" for n in (0, 1, 0)))
    bank = Bank.create(tmp_path / "known")
    assert bank.update(Import(path, HashListFormat.CSV), existing=Existing.SKIP) == Updated(
        added=2, skipped=1
    )


IN_THE_WAY_OF_COMMON_TOOLS = {
    "threatexchange": "collab,signal_type,signal_str,category,tags\n"
    f"Sample,pdq,{H[0]},POSITIVE_CLASS,a\nSample,pdq,{H[1]},INVESTIGATION_SEED,\n",
    "pdq-photo-hasher": f"{H[0]},100,a/b.jpg\n{H[1]},87,a/c.jpg\n",
    "quoted header": f'"hash","quality"\n"{H[0]}","100"\n"{H[1]}","90"\n',
    "semicolon": f"hash;quality\n{H[0]};100\n{H[1]};90\n",
    "tab": f"hash\tquality\n{H[0]}\t100\n{H[1]}\t90\n",
    "decimal quality": f"hash,quality\n{H[0]},100.0\n{H[1]},90.5\n",
    "path before the hash": f"a b.jpg;{H[0]}\nc.jpg;{H[1]}\n",
    "separator named": f"sep=;\nhash;quality\n{H[0]};100\n{H[1]};90\n",
    "separator named in quotes": f'"sep=,"\n{H[0]},100\n{H[1]},90\n',
    "tab named": f"sep=\t\nhash\tquality\n{H[0]}\t100\n{H[1]}\t90\n",
    "bar": f"hash|quality\n{H[0]}|100\n{H[1]}|90\n",
    "decimal comma": f"hash;quality\n{H[0]};100,0\n{H[1]};90,5\n",
    "empty rows": f"hash,quality\n,\n{H[0]},100\n,,,\n{H[1]},90\n,\n",
    "newlines in quotes": f'hash,quality,note\n{H[0]},100,"a\nb, ""c"""\n{H[1]},90,"\n"\n',
    "note before the header": f"# exported\nhash,quality\n{H[0]},100\n{H[1]},90\n",
    "pdq-photo-hasher, in words": f"hash={H[0]},norm=1,delta=2,quality=100,filename=a.jpg\n"
    f"hash={H[1]},norm=1,delta=2,quality=100,filename=b,c=d.jpg\n",
    "path with a comma": f"{H[0]},100,a/b.jpg\n{H[1]},87,a/c,d.jpg\n",
    "spaced header": f"PDQ Hash,Quality\n{H[0]},100\n{H[1]},90\n",
    "joined header": f"pdqHash,,\n{H[0]},,\n{H[1]},,\n",
    "cells without a hash": f"name,hash\na,{H[0]}\nb,\nc,{H[1]}\n",
    "another kind that is long": f"signal_type,signal_str\npdq,{H[0]}\n"
    f'vpdq,"{"x" * 200_000}"\nHASH_PDQ,{H[1]}\n',
    "kinds of hashes": f"hash,hash_type\n{H[0]},PDQ\nd41d8cd98f00b204e9800998ecf8427e,MD5\n{H[1]},pdq\n",
    "types": f"indicator,type\n{H[0]},HASH_PDQ\n{'e' * 64},HASH_SHA256\n{H[1]},image\n",
    "end of text": f"hash,quality\n{H[0]},100\n{H[1]},90\n\x1a",
}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-with-mark"])
@pytest.mark.parametrize("text", IN_THE_WAY_OF_COMMON_TOOLS.values(), ids=IN_THE_WAY_OF_COMMON_TOOLS)
def test_lists_of_common_tools_are_recognised(tmp_path: Path, text: str, encoding: str, end: str) -> None:
    path = tmp_path / "list"
    text = text.replace("\n", end)
    marked = "\ufeff" + text
    path.write_bytes(marked.encode("utf-16-be") if "mark" in encoding else text.encode(encoding))
    assert sniff(path) is HashListFormat.CSV
    assert [change.entry.id for change in footages(Import(path, HashListFormat.CSV))] == [H[0], H[1]]


@pytest.mark.parametrize(
    "text", [f"0;100;{H[0]};0.0\n1;99;{H[1]};0,5\n", f"0, 100, {H[0]}, 0.0\n1, 99, {H[1]}, 0.5\n"]
)
def test_frames_of_a_video_may_be_separated_otherwise(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list"
    path.write_text(text)
    assert sniff(path) is HashListFormat.VPDQ
    [video] = footages(Import(path, HashListFormat.VPDQ))
    assert [(run.start_ms, run.quality) for run in video.hashes] == [(0, 100), (500, 99)]


@pytest.mark.parametrize("line", [f"{H[0]} # one", f"pdq {H[0]}", f"PDQ: {H[0]}", H[0].upper()])
def test_a_plain_list_may_name_the_kind_and_have_notes(tmp_path: Path, line: str) -> None:
    path = tmp_path / "list"
    path.write_text(f"# all of them\n{line}\n")
    assert sniff(path) is HashListFormat.PDQ
    assert [change.entry.id for change in footages(Import(path, HashListFormat.PDQ))] == [H[0]]


@pytest.mark.parametrize("start", ['{"kind":"image","id":"a",', '{ "id": "a", "kind": "image",'])
def test_our_own_records_are_known_in_any_order(tmp_path: Path, start: str) -> None:
    path = tmp_path / "list"
    path.write_text(f'{start}"hashes":[["{H[0]}","0.0",0,100,"original"]]}}\n')
    assert sniff(path) is HashListFormat.JSONL
    assert [change.entry.id for change in footages(Import(path, HashListFormat.JSONL))] == ["a"]


def test_a_plain_list_may_be_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "list"
    odd = "0a" * 32  # no character of it is a newline, some of its bytes are
    path.write_bytes(f"# \u0a0a\r\n{H[0]}\r\n\r\n{odd}".encode("utf-16"))
    assert sniff(path) is HashListFormat.PDQ
    assert [change.entry.id for change in footages(Import(path, HashListFormat.PDQ))] == [H[0], odd]


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n\x1a", categories=["L", "N"])), max_size=6),
    st.sampled_from(["utf-8", "utf-16"]),
    st.integers(0, 6),
)
def test_lines_that_end_by_carriage_return_alone(lines: list[str], encoding: str, resume_after: int) -> None:
    """As older spreadsheets end them. No half of a character of UTF-16 ends one."""
    text = "\r".join([*lines, ""]).encode(encoding)
    wanted = [line for line in lines if line.strip()]
    reading = Lines(io.BytesIO(text), START)
    found = [next(reading) for _ in wanted[:resume_after]]
    resumed = Lines(io.BytesIO(text), reading.at)
    assert [*found, *resumed] == [line.strip() for line in wanted]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (gzip.compress(b"hash\n", mtime=0), "compressed by gzip; unpack it first"),
        (b"PK\3\4\xff\xfe", "save its sheet as CSV UTF-8"),
        (b"hash,note\n\xe9", "save it as CSV UTF-8"),
    ],
)
def test_a_file_that_is_no_text_says_what_to_do(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(InvalidInput, match=told):
        list(Import(tmp_path / "list", sniff(tmp_path / "list")))


def test_what_its_own_list_calls_a_false_positive_or_another_kind_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text(
        "signal_type,signal_str,collab,category,tags\n"
        f"pdq,{H[0]},c,NEGATIVE_CLASS,\npdq,{H[1]},c,DISPUTED,\nvideo_md5,abc,c,POSITIVE_CLASS,\n"
        f"pdq,{H[2]},c,POSITIVE_CLASS,\n"
    )
    changes = Import(path, HashListFormat.CSV)
    assert [change.entry.id for change in footages(changes)] == [H[2]]
    assert (changes.not_violating, changes.other_kinds) == (2, 1)


def footages(changes: Import) -> list[Footage]:
    return [change for change in changes if isinstance(change, Footage)]
