"""Keys of the section `regions`."""

from typing import Final

from coronel_gdb.profiles.keys.key import Key, Kind, Role, Scheme, SectionKeys, not_judged, root

ORDERED_LIST: Final = Scheme(
    "coronel",
    "free regions in one doubly linked list, ascending and never touching (docs/spec.md §6)",
    (
        *root("the manager of the kernel's virtual regions"),
        Key("type", Kind.TYPE, "the manager"),
        Key(
            "fields",
            Kind.FIELDS,
            "the fields of the manager",
            of="type",
            roles=(
                Role("first", "address of the first node, 0 for none"),
                Role("last", "address of the last node, 0 for none", not_judged("the list's tail")),
                Role("count", "nodes in the list", not_judged("that count")),
                Role("spare", "address of the first unused node", not_judged("the pool of unused nodes")),
                Role("spare_count", "unused nodes", not_judged("the pool of unused nodes")),
                Role(
                    "start", "start of the space, virtual address", not_judged("whether regions lie inside")
                ),
                Role("end", "end of the space, virtual address", not_judged("whether regions lie inside")),
                Role(
                    "errors",
                    "array: refused calls by kind (docs/spec.md §8.1)",
                    not_judged("whether calls were refused"),
                ),
                Role("locked", "u32: 1 while an operation is under way", "the manager is never called busy"),
            ),
        ),
        Key("node", Kind.TYPE, "a node of the list: one free region"),
        Key(
            "node_fields",
            Kind.FIELDS,
            "the fields of a node",
            of="node",
            roles=(
                Role("start", "start of the region, virtual address"),
                Role("size", "bytes of the region"),
                Role("next", "address of the next node, 0 at the list's end"),
                Role("prev", "address of the node before, 0 at its head"),
            ),
        ),
        Key(
            "quirks",
            Kind.WORDS,
            "what this kernel is known to do in its own way",
            "what differs is a finding",
            roles=(Role("zero_sized", "a region of 0 bytes stands for a deleted one", "it is a finding"),),
        ),
    ),
)

REGIONS: Final = SectionKeys(
    "regions",
    "the manager of the kernel's virtual regions",
    "`regions` could not check",
    (ORDERED_LIST,),
)
