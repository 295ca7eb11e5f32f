"""A JPEG writer from coefficients: files that no encoder writes, and that a decoder must read.

The rules are those of ITU-T T.81: sequential and progressive Huffman coding, any sampling factors,
any script of scans, restart intervals, any quantisation tables, any lengths of codes. Coefficients
are given in zigzag order, before dequantisation; nothing checks that an image would have them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Component", "Frame", "Scan", "default_scans", "segment", "write"]

I32 = NDArray[np.int32]
SOI, EOI, SOS, DQT, DHT, DRI = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD
LONGEST = 16


@dataclass
class Component:
    """One plane of coefficients.

    Attributes:
        number: the identifier in the file.
        horizontal, vertical: the sampling factors, 1 to 4.
        table: the slot of its quantisation table, 0 to 3.
        blocks: (rows, columns, 64) in zigzag order, padded to whole MCUs of an interleaved scan.
    """

    number: int
    horizontal: int
    vertical: int
    table: int
    blocks: I32


@dataclass
class Scan:
    """One scan: the components by place, the band, and the bits before and after it."""

    components: tuple[int, ...]
    first: int = 0
    last: int = 63
    before: int = 0
    after: int = 0


@dataclass
class Frame:
    """A whole image."""

    height: int
    width: int
    components: list[Component]
    tables: dict[int, Sequence[int]]
    """Quantisation tables by slot: 64 numbers in zigzag order."""
    progressive: bool = False
    extended: bool = False
    restart: int = 0
    """MCUs between two restart markers, 0 for none."""
    scans: list[Scan] = field(default_factory=list)
    segments: list[bytes] = field(default_factory=list)
    """Whole segments to write after SOI."""
    weights: Any = None
    """A random generator that weighs the symbols of Huffman tables, or None for optimal codes."""
    wide_tables: bool = False
    """Whether quantisation tables have 16 bits an entry even where 8 would do."""

    @property
    def largest(self) -> tuple[int, int]:
        """The largest vertical and horizontal sampling factors."""
        return (
            max(c.vertical for c in self.components),
            max(c.horizontal for c in self.components),
        )

    def padded(self, place: int) -> tuple[int, int]:
        """(rows, columns) of blocks of a component, padded to whole MCUs."""
        tall, wide = self.largest
        component = self.components[place]
        return (
            -(-self.height // (8 * tall)) * component.vertical,
            -(-self.width // (8 * wide)) * component.horizontal,
        )

    def alone(self, place: int) -> tuple[int, int]:
        """(rows, columns) of blocks of a component in a scan of its own."""
        tall, wide = self.largest
        component = self.components[place]
        rows = -(-self.height * component.vertical // tall)
        columns = -(-self.width * component.horizontal // wide)
        return -(-rows // 8), -(-columns // 8)


def segment(marker: int, payload: bytes) -> bytes:
    """A marker with its length and payload."""
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2) + payload


def default_scans(frame: Frame) -> list[Scan]:
    """One scan of everything, or the plainest progression: DC, then each component's AC."""
    places = tuple(range(len(frame.components)))
    if not frame.progressive:
        return [Scan(places)]
    return [Scan(places, 0, 0), *(Scan((place,), 1, 63) for place in places)]


def write(frame: Frame) -> bytes:
    """The file."""
    parts = [bytes([0xFF, SOI]), *frame.segments]
    for slot, table in frame.tables.items():
        wide = frame.wide_tables or max(table) > 255
        body = b"".join(int(entry).to_bytes(1 + wide) for entry in table)
        parts.append(segment(DQT, bytes([wide << 4 | slot]) + body))
    kind = 0xC2 if frame.progressive else 0xC1 if frame.extended else 0xC0
    head = bytes([8]) + frame.height.to_bytes(2) + frame.width.to_bytes(2)
    head += bytes([len(frame.components)])
    for c in frame.components:
        head += bytes([c.number, c.horizontal << 4 | c.vertical, c.table])
    parts.append(segment(kind, head))
    if frame.restart:
        parts.append(segment(DRI, frame.restart.to_bytes(2)))
    for scan in frame.scans or default_scans(frame):
        parts.append(_scan(frame, scan))
    parts.append(bytes([0xFF, EOI]))
    return b"".join(parts)


# Scans. An event is (table, symbol, bits, count): a coded symbol and bits that follow it as they
# are. Table -1 is bits alone, None a restart marker.

Event = tuple[int, int, int, int] | None


def _scan(frame: Frame, scan: Scan) -> bytes:
    # Luma has tables of its own, as encoders do; a table is 16 * class + slot.
    slots = [min(place, 1) for place in scan.components]
    events = list(_events(frame, scan, slots))
    counts: dict[int, Counter[int]] = {}
    for event in events:
        if event is not None and event[0] >= 0:
            counts.setdefault(event[0], Counter())[event[1]] += 1
    if not frame.progressive:  # both tables of every slot, used or not
        for slot in slots:
            for table in (slot, 16 + slot):
                counts.setdefault(table, Counter([0]))
    codes: dict[int, dict[int, tuple[int, int]]] = {}
    parts = []
    for table, counter in sorted(counts.items()):
        if frame.weights is not None:
            counter = _weighed(counter, table < 16, frame.weights)
        lengths = _lengths(counter)
        codes[table] = _codes(lengths)
        parts.append(segment(DHT, bytes([table]) + _table(lengths)))
    head = bytes([len(scan.components)])
    for place, slot in zip(scan.components, slots, strict=True):
        direct = slot if scan.first == 0 else 0
        alternating = slot if scan.last > 0 else 0
        head += bytes([frame.components[place].number, direct << 4 | alternating])
    head += bytes([scan.first, scan.last, scan.before << 4 | scan.after])
    parts.append(segment(SOS, head))
    parts.append(_coded(events, codes))
    return b"".join(parts)


def _events(frame: Frame, scan: Scan, slots: list[int]) -> Iterator[Event]:
    coder = _Coder(frame.progressive, scan, slots)
    for number, blocks in enumerate(_units(frame, scan.components)):
        if frame.restart and number and number % frame.restart == 0:
            yield from coder.flush()
            yield None
            coder.reset()
        for place, block in blocks:
            yield from coder.block(place, block)
    yield from coder.flush()


def _units(frame: Frame, places: tuple[int, ...]) -> Iterator[list[tuple[int, list[int]]]]:
    """The MCUs of a scan: blocks with their place in the scan."""
    if len(places) == 1:
        rows, columns = frame.alone(places[0])
        grid = frame.components[places[0]].blocks
        for row, column in itertools.product(range(rows), range(columns)):
            yield [(0, grid[row, column].tolist())]
        return
    tall, wide = frame.largest
    rows, columns = -(-frame.height // (8 * tall)), -(-frame.width // (8 * wide))
    for row, column in itertools.product(range(rows), range(columns)):
        unit = []
        for place, number in enumerate(places):
            c = frame.components[number]
            for y, x in itertools.product(range(c.vertical), range(c.horizontal)):
                block = c.blocks[row * c.vertical + y, column * c.horizontal + x]
                unit.append((place, block.tolist()))
        yield unit


def _size(value: int) -> tuple[int, int]:
    """A number's size category, and its bits: one less where it is negative."""
    size = abs(value).bit_length()
    return size, value if value >= 0 else value + (1 << size) - 1


class _Coder:
    """What a scan remembers from block to block."""

    def __init__(self, progressive: bool, scan: Scan, slots: list[int]) -> None:
        self.progressive = progressive
        self.scan = scan
        self.slots = slots
        self.reset()

    def reset(self) -> None:
        self.direct = [0] * len(self.slots)
        self.ends = 0  # blocks without further coefficients that wait to be said
        self.waiting: list[int] = []  # correction bits of those blocks

    def block(self, place: int, block: list[int]) -> Iterator[Event]:
        scan, slot = self.scan, self.slots[place]
        if not self.progressive:
            yield self._direct(place, block[0])
            yield from self._sequential(16 + slot, block)
        elif scan.last == 0 and scan.before == 0:
            yield self._direct(place, block[0] >> scan.after)
        elif scan.last == 0:
            yield (-1, 0, block[0] >> scan.after & 1, 1)
        elif scan.before == 0:
            yield from self._first(16 + slot, block)
        else:
            yield from self._refined(16 + slot, block)

    def _direct(self, place: int, value: int) -> Event:
        size, bits = _size(value - self.direct[place])
        self.direct[place] = value
        return (self.slots[place], size, bits, size)

    def _sequential(self, table: int, block: list[int]) -> Iterator[Event]:
        run = 0
        for value in block[1:]:
            if value == 0:
                run += 1
                continue
            while run > 15:
                yield (table, 0xF0, 0, 0)
                run -= 16
            size, bits = _size(value)
            yield (table, run << 4 | size, bits, size)
            run = 0
        if run:
            yield (table, 0, 0, 0)

    def _first(self, table: int, block: list[int]) -> Iterator[Event]:
        run = 0
        for value in block[self.scan.first : self.scan.last + 1]:
            shifted = abs(value) >> self.scan.after
            if shifted == 0:
                run += 1
                continue
            yield from self.flush(table)
            while run > 15:
                yield (table, 0xF0, 0, 0)
                run -= 16
            size, bits = _size(shifted if value > 0 else -shifted)
            yield (table, run << 4 | size, bits, size)
            run = 0
        if run:
            yield from self._end(table)

    def _refined(self, table: int, block: list[int]) -> Iterator[Event]:
        after = self.scan.after
        band = block[self.scan.first : self.scan.last + 1]
        sizes = [abs(value) >> after for value in band]
        new = [k for k, size in enumerate(sizes) if size == 1]
        last = new[-1] if new else -1
        run, bits = 0, []
        for k, size in enumerate(sizes):
            if size == 0:
                run += 1
                continue
            while run > 15 and k <= last:
                yield from self.flush(table)
                yield (table, 0xF0, 0, 0)
                run -= 16
                yield from _raw(bits)
                bits = []
            if size > 1:
                bits.append(size & 1)
                continue
            yield from self.flush(table)
            yield (table, run << 4 | 1, int(band[k] > 0), 1)
            yield from _raw(bits)
            run, bits = 0, []
        if run or bits:
            self.waiting += bits
            yield from self._end(table)

    def _end(self, table: int) -> Iterator[Event]:
        self.ends += 1
        self.table = table
        if self.ends == 0x7FFF or len(self.waiting) > 900:
            yield from self.flush()

    def flush(self, table: int | None = None) -> Iterator[Event]:
        """Says the ends that wait, and their correction bits."""
        if self.ends:
            size = self.ends.bit_length() - 1
            yield (self.table, size << 4, self.ends - (1 << size), size)
            yield from _raw(self.waiting)
        self.ends, self.waiting = 0, []


def _raw(bits: list[int]) -> Iterator[Event]:
    for bit in bits:
        yield (-1, 0, bit, 1)


def _coded(events: list[Event], codes: dict[int, dict[int, tuple[int, int]]]) -> bytes:
    out = bytearray()
    held, count, restarts = 0, 0, 0

    def settle() -> None:
        nonlocal held, count
        pad = -count % 8
        whole = (held << pad | (1 << pad) - 1).to_bytes((count + pad) // 8) if count else b""
        out.extend(whole.replace(b"\xff", b"\xff\0"))
        held, count = 0, 0

    for event in events:
        if event is None:
            settle()
            out += bytes([0xFF, 0xD0 + restarts % 8])
            restarts += 1
            continue
        table, symbol, bits, size = event
        if table >= 0:
            code, length = codes[table][symbol]
            held = held << length | code
            count += length
        held = held << size | bits
        count += size
        if count > 512 and count % 8 == 0:
            settle()
    settle()
    return bytes(out)


# Huffman codes


def _weighed(counter: Counter[int], direct: bool, rng: Any) -> Counter[int]:
    """Other weights, and symbols that the scan does not use: long codes for common symbols."""
    symbols = set(counter) | set(rng.integers(0, 16 if direct else 256, 40).tolist())
    weights = np.exp(rng.uniform(0, 12, len(symbols))).astype(int) + 1
    return Counter(dict(zip(sorted(symbols), weights.tolist(), strict=True)))


def _lengths(counter: Counter[int]) -> dict[int, int]:
    """The length of each symbol's code: Huffman's, none over 16, and none is ones alone."""
    groups: list[tuple[int, list[int]]] = [(0, [-1]), *((n, [s]) for s, n in counter.items())]
    lengths = {symbol: 0 for _, symbols in groups for symbol in symbols}
    while len(groups) > 1:
        groups.sort(key=lambda group: (group[0], max(group[1])), reverse=True)
        (least, some), (next_least, others) = groups.pop(), groups.pop()
        for symbol in some + others:
            lengths[symbol] += 1
        groups.append((least + next_least, some + others))
    counts = Counter(lengths.values())
    for length in range(max(counts), LONGEST, -1):
        # Two codes that are too long become one a bit shorter; the other goes below a shorter code.
        while counts[length]:
            shorter = next(j for j in range(length - 2, 0, -1) if counts[j])
            counts[length] -= 2
            counts[length - 1] += 1
            counts[shorter + 1] += 2
            counts[shorter] -= 1
    longest = max(length for length, count in counts.items() if count)
    counts[longest] -= 1  # the pretended symbol's, all ones
    order = sorted(counter, key=lambda symbol: (lengths[symbol], symbol))
    each = itertools.chain.from_iterable([n] * counts[n] for n in range(1, LONGEST + 1))
    return dict(zip(order, each, strict=True))


def _codes(lengths: dict[int, int]) -> dict[int, tuple[int, int]]:
    codes, code, before = {}, 0, 0
    for symbol, length in lengths.items():
        code <<= length - before
        before = length
        codes[symbol] = (code, length)
        code += 1
    return codes


def _table(lengths: dict[int, int]) -> bytes:
    counts = Counter(lengths.values())
    return bytes([counts[n] for n in range(1, LONGEST + 1)]) + bytes(lengths)
