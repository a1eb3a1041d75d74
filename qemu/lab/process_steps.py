"""What processes do in a sequence: each function writes one order out of three small numbers."""

from lab.orders import Code, Result
from lab.sequence_writer import FIELDS, HEADER_BYTES, STRANGE, Writer
from model.types import PAGE_BYTES, U64_MASK


def process(w: Writer, x: int, _: int, __: int) -> None:
    """Another one, of a module or of nothing; at most four at a time."""
    if len(w.processes) < 4:
        w.processes.append(w.add(Code.PROCESS_CREATE, x % 4))


def destroy(w: Writer, x: int, y: int, _: int) -> None:
    """One of the live ones."""
    if w.processes:
        gone = w.processes.pop(y % len(w.processes))
        w.add(Code.PROCESS_DESTROY, Result(gone))
        w.blocks = [block for block in w.blocks if block[0] != gone]
        w.mappings = [mapping for mapping in w.mappings if mapping[0] != gone]


def _user_pointer(w: Writer, x: int, y: int) -> tuple[int | Result, int | Result]:
    """A process and a block of its heap; seldom another's block, or an address that is none."""
    if x % 16 > 1 and w.blocks:
        owner, block = w.blocks[y % len(w.blocks)]
        return Result(owner), Result(block)
    strange = (*STRANGE, 0x400000, 0x7FFFFF0, 0x8000000, 0x8000030, 0x8000040, 0x8010000 - 48, 0x8010000,
               0x8010030, 0x3FFFFFF0, 0x40000000, 0x7FFEFFF0, 0x7FFFFF80)  # fmt: skip
    if x % 16 == 1 and w.blocks:
        return w.process(y), Result(w.blocks[y % len(w.blocks)][1], (0, 8, 16, -48)[x // 16 % 4])
    return w.process(y), strange[y % len(strange)]


def sys_malloc(w: Writer, x: int, y: int, z: int) -> None:
    """A block of a process's heap."""
    process = w.process(z)
    number = w.add(Code.SYS_MALLOC, process, w.size(x, y))
    if isinstance(process, Result):
        w.blocks.append((process.of, number))


def sys_calloc(w: Writer, x: int, y: int, z: int) -> None:
    """Zeroed memory of a process's heap; seldom with an absurd product."""
    process = w.process(z)
    sizes = (w.size(0, y), w.size(0, x)) if x % 16 == 0 else (1 + x % 20, w.size(x, y) % 4096)
    number = w.add(Code.SYS_CALLOC, process, *sizes)
    if isinstance(process, Result):
        w.blocks.append((process.of, number))


def sys_free(w: Writer, x: int, y: int, _: int) -> None:
    """Mostly a block of its own."""
    process, pointer = _user_pointer(w, x, y)
    w.add(Code.SYS_FREE, process, pointer)


def sys_realloc(w: Writer, x: int, y: int, z: int) -> None:
    """Another size, mostly for a block of its own."""
    process, pointer = _user_pointer(w, x, y)
    number = w.add(Code.SYS_REALLOC, process, pointer, w.size(z, y // 7))
    if isinstance(process, Result):
        w.blocks.append((process.of, number))


def sys_brk(w: Writer, x: int, y: int, z: int) -> None:
    """A little more or less mostly; seldom a border, or all there is."""
    strange = (0, 1, 0x7FFFFFF, 0x8000000, 0x3FFFFFFF, 0x40000000, 0x40000001, U64_MASK)
    address = strange[y % len(strange)] if x % 16 == 0 else 0x8000000 + y
    w.add(Code.SYS_BRK, w.process(z), address)


def sys_mmap(w: Writer, x: int, y: int, z: int) -> None:
    """Some pages; seldom with an absurd address, length or protection."""
    process = w.process(z)
    starts = (0, 0, 0, 0, 0x40000000 + y % 64 * PAGE_BYTES, 0x40000000 + y % 16 * PAGE_BYTES, 0x6FFFF000, 8,
              0x70000000, 0x3FFFF000, U64_MASK - 4095)  # fmt: skip
    length = (0, U64_MASK, U64_MASK - 4095, 1 << 30, 0x30000000)[y % 5] if x % 32 == 0 else 1 + y % 30000
    protection = (0, 2, 4, 7, 8, 5, U64_MASK, 1)[y % 8] if x // 32 % 16 == 0 else 1 + 2 * (x // 512 % 2)
    number = w.add(Code.SYS_MMAP, process, starts[x % len(starts)], length, protection)
    if isinstance(process, Result):
        w.mappings.append((process.of, number, -(-length // PAGE_BYTES) * PAGE_BYTES))


def sys_munmap(w: Writer, x: int, y: int, z: int) -> None:
    """What mmap gave, whole or in part; seldom anything else."""
    if w.mappings and x % 8:
        owner, number, length = w.mappings[y % len(w.mappings)]
        offset = (0, 0, 0, PAGE_BYTES, 8, -PAGE_BYTES)[z % 6]
        lengths = (length, length, PAGE_BYTES, length - offset, length + PAGE_BYTES, length - 1, 0)
        w.add(Code.SYS_MUNMAP, Result(owner), Result(number, offset), lengths[x // 8 % 7])
    else:
        starts = (*STRANGE, 0x40000000, 0x6FFFF000, 0x8000000, 0x400000, 0x7FFFF000)
        w.add(
            Code.SYS_MUNMAP, w.process(z), starts[y % len(starts)], (0, 4096, 8192, 1 << 40, U64_MASK)[x % 5]
        )


def grow_stack(w: Writer, x: int, y: int, z: int) -> None:
    """A little below the stack mostly; seldom at a border."""
    addresses = (0x7FFEFFF8, 0x7FFE0000 - y * 8, 0x7F800000, 0x7F7FFFFF, 0x7FFFF000, 0x80000000, 0, U64_MASK)
    w.add(Code.STACK_GROWTH, w.process(z), addresses[x % 8 if x % 64 == 0 else x % 2])


def user_damage(w: Writer, x: int, y: int, z: int) -> None:
    """A process writes over a header of its own heap, or anywhere it can."""
    if w.blocks:
        owner, block = w.blocks[y % len(w.blocks)]
        other = Result(w.blocks[z % len(w.blocks)][1], -HEADER_BYTES)
        values: tuple[int | Result, ...] = (
            other, other, 0, 1, 7, 16, 64, 128, 65536 - 48, U64_MASK, 0x8000000, 0x8000030, 0x8010000,
            0x40000000,
            0xDEADBEEFCAFEBABE, 0xFEEDFACEDEADC0DE, 0xFFFF_FFFF_8040_0000,
        )  # fmt: skip
        offset = FIELDS[x % 6]
        at = Result(block, offset - HEADER_BYTES)
        w.add(Code.USER_STORE, Result(owner), at, values[z // 8 % len(values)], 1 if offset == 8 else 8)


def validate(w: Writer, x: int, y: int, z: int) -> None:
    """A pointer and a length: mappings, blocks, and what is neither."""
    process, pointer = _user_pointer(w, x // 4, y)
    if w.mappings and x % 3 == 0:
        owner, number, length = w.mappings[y % len(w.mappings)]
        w.add(Code.USER_VALIDATE, Result(owner), Result(number, z % 3 - 1), length - z // 3 % 3, z % 2)
    else:
        w.add(Code.USER_VALIDATE, process, pointer, w.size(x, z), z % 2)
