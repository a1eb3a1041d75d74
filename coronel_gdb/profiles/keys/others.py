"""Keys of the sections that have one form only."""

from typing import Final

from coronel_gdb.profiles.keys.key import Key, Kind, Role, Scheme, SectionKeys

_PROCESS_ROLES: Final = (
    Role("pid", "number of the process"),
    Role("state", "u32: its state (docs/spec.md §14.1)"),
    Role("exit_code", "i32 with which it ended"),
    Role("next", "address of the next process, 0 at the list's end"),
    Role("name", "array of bytes, ended by 0"),
    Role("page_directory", "its top table, physical address"),
    *(
        Role(f"{part}_{edge}", f"{edge} of its {part}, virtual address")
        for part in ("code", "data", "stack")
        for edge in ("start", "end")
    ),
    Role("heap_start", "the first field of its heap: start, virtual address"),
    Role("heap_current", "end of what its heap has grown to"),
    Role("heap_limit", "end of what its heap may grow to"),
    Role("heap_first_block", "address of the heap's first header"),
    Role("heap_page_directory", "the top table that its heap has noted"),
    Role("heap_total_allocated", "bytes of data in used blocks"),
    Role("heap_num_blocks", "blocks of its heap"),
    Role("heap_errors", "array: refused calls by kind"),
    Role("heap_locked", "u32: 1 while an operation on it is under way"),
    Role("mmap_first", "the field `first` of its manager of regions, whose layout is that of `regions`"),
)


def _one(*keys: Key) -> tuple[Scheme, ...]:
    return (Scheme("", "", keys),)


PROCESSES: Final = SectionKeys(
    "processes",
    "the list of processes",
    'processes are not checkable; with `lacks = ["processes"]` at the top there are none',
    _one(
        Key("list", Kind.SYMBOL, "variable that points to the first process"),
        Key("type", Kind.TYPE, "a process"),
        Key("fields", Kind.FIELDS, "the fields of a process", roles=_PROCESS_ROLES, of="type"),
    ),
)
IMAGE: Final = SectionKeys(
    "image",
    "symbols of the kernel's image by what they are",
    "what needs one of them says so",
    _one(
        *(
            Key(name, Kind.SYMBOL, meaning, "what needs it says so")
            for name, meaning in (
                ("text_start", "start of the code"),
                ("text_end", "end of the code"),
                ("rodata_start", "start of the constants"),
                ("rodata_end", "end of the constants"),
                ("data_start", "start of the data"),
                ("bss_end", "end of the data"),
                ("end", "end of the image"),
                ("placement", "u64: where the next byte would be placed, physical address"),
                ("kernel_directory", "u64: the kernel's top table, physical address"),
                ("window_table", "the page table of the windows, part of the image"),
                ("next_device", "u64: where the next device would be mapped"),
                ("paging_lock", "u32: 1 while page tables are being changed"),
                ("second_cpu", "u32: 1 while another CPU runs"),
            )
        )
    ),
)
ACTIVITY: Final = SectionKeys(
    "activity",
    "words (u32) that are not 0 while something is being changed: symbol = what that is",
    "only the locks of the managers say that an operation is under way",
    _one(),
)
BOOT_MAP: Final = SectionKeys(
    "boot_map",
    "the kernel's own copy of the boot loader's memory map",
    "what the boot loader reserved is unknown; the frame manager's set-up is not checkable",
    _one(
        Key("symbol", Kind.SYMBOL, "variable that is the copy"),
        Key("type", Kind.TYPE, "its type"),
        Key(
            "fields",
            Kind.FIELDS,
            "its fields",
            of="type",
            roles=(
                Role("ram", "array of pairs: start and end, physical addresses"),
                Role("ram_count", "pairs of `ram` in use"),
                Role("reserved", "array of pairs: start and end, physical addresses"),
                Role("reserved_count", "pairs of `reserved` in use"),
            ),
        ),
    ),
)
LEAKS: Final = SectionKeys(
    "leaks",
    "what records the past and therefore is no reference to a block",
    "every word of the kernel counts as a reference",
    _one(
        Key("trace", Kind.SYMBOL, "variable that describes the trace's ring", "there is none"),
        Key("notes", Kind.TABLE, "symbol = size in bytes", "there are none"),
    ),
)
TRACE: Final = SectionKeys(
    "trace",
    "the ring of records that `replay` reads (docs/spec.md §12)",
    "`replay` could not check, and no finding names who allocated a block",
    _one(
        Key("variable", Kind.SYMBOL, "variable that is the trace's object"),
        Key("type", Kind.TYPE, "its type"),
        Key(
            "fields",
            Kind.FIELDS,
            "its fields",
            of="type",
            roles=(
                Role("ring", "address of the first record"),
                Role("capacity", "records that the ring holds"),
                Role("next", "number of the next record"),
                Role("locked", "u32: 1 while a record is being written"),
            ),
        ),
        Key("record", Kind.TYPE, "a record"),
        Key(
            "record_fields",
            Kind.FIELDS,
            "the fields of a record",
            of="record",
            roles=tuple(
                Role(name, meaning)
                for name, meaning in (
                    ("sequence", "its number"),
                    ("operation", "u32: what was done (docs/spec.md §12.3)"),
                    ("cpu", "u16: by which CPU"),
                    ("depth", "u16: inside how many other operations"),
                    ("arguments", "array of three"),
                    ("result", "what it returned"),
                    ("caller", "return address"),
                    ("space", "top table in use, physical address"),
                )
            ),
        ),
    ),
)
QUIRKS: Final = SectionKeys(
    "quirks",
    "tables `quirks.ID` with `habit`, `value` and `text`: what the model does otherwise in a replay",
    "the kernel is replayed by docs/spec.md",
    _one(),
)
PAGE_ENTRY: Final = SectionKeys(
    "page_entry",
    "an entry of a page table, for GDB's pretty-printer",
    "entries are printed as GDB prints any structure",
    _one(
        Key("type", Kind.TYPE, "an entry"),
        Key(
            "fields", Kind.FIELDS, "its fields", of="type", roles=(Role("value", "u64: the entry as it is"),)
        ),
    ),
)
