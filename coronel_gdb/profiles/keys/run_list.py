"""Keys of the section `frames` in its scheme `run_list`."""

from typing import Final

from coronel_gdb.profiles.keys.key import Key, Kind, Role, Scheme, not_judged, root

RUN_LIST: Final = Scheme(
    "run_list",
    "free pages are a list by themselves, as in xv6: each holds the link to the next one, and junk. A page "
    "goes by its virtual address in the kernel's map of RAM",
    (
        *root("what holds the list's head"),
        Key("type", Kind.TYPE, "what holds the list's head"),
        Key(
            "fields",
            Kind.FIELDS,
            "the fields of it",
            of="type",
            roles=(
                Role("free_list", "address of the first free page, 0 for none"),
                Role("count", "free pages", not_judged("that count")),
                Role("locked", "u32: 1 while an operation is under way", "the list is never called busy"),
            ),
        ),
        Key("run", Kind.TYPE, "what lies in a free page"),
        Key(
            "run_fields",
            Kind.FIELDS,
            "the fields of it",
            of="run",
            roles=(Role("next", "address of the next free page, 0 at the list's end"),),
        ),
        Key("page_bytes", Kind.NUMBER, "bytes of a page, a power of two", "4096"),
        Key(
            "start",
            Kind.SYMBOL,
            "symbol behind the last thing that is never freed, such as the end of the image",
            "`start_address` says where",
            one_of=("start_address",),
        ),
        Key(
            "start_address",
            Kind.NUMBER,
            "lowest address that a free page can have",
            "`start` says where",
            one_of=("start",),
        ),
        Key(
            "end",
            Kind.SYMBOL,
            "variable (u64) with the end of what can be free, virtual address",
            "`end_address` says where",
            one_of=("end_address",),
        ),
        Key(
            "end_address",
            Kind.NUMBER,
            "end of what can be free, virtual address (in xv6 KERNBASE + PHYSTOP)",
            "`end` says where",
            one_of=("end",),
        ),
        Key(
            "junk_free",
            Kind.NUMBER,
            "the byte with which kfree fills a page",
            "whether a free page was written to is not checkable, nor whether pages are lost",
        ),
        Key(
            "junk_used",
            Kind.NUMBER,
            "the byte with which kalloc fills a page",
            "whether pages are lost from the list is not checkable",
        ),
    ),
)
