"""The reference model of the Coronel memory system: standard library only, readable top to bottom.

A table of contents, in the order of reading; § is a section of docs/spec.md.

The ground
    types            addresses, sizes, alignment
    layouts          where each field of each structure lies (§10, §12.1, §14.2, §15.3)
    records          what the managers keep in memory, as values: the words that tools share with the model
    errors           how an operation fails, and how a machine stops (§1.5, §8.1)
    page_entry       one entry of a paging table
    paging           the page walk
    address_space    the tables of §2 and §14.4 in numbers, the image's symbols
    memory           physical memory, and the virtual view of it
    structure        fields of structures in that memory
    events           what the model reports while it runs (§8.1)

The kernel
    multiboot        the memory map, reserved and managed ranges (§4.1 to §4.3)
    placement        memory during the boot (§3)
    frames           physical frames (§4.4 to §4.8)
    page_tables      building page tables (§5)
    region_nodes     nodes of virtual regions (§6.1, §6.2, §15.6)
    regions          virtual regions (§6)
    block_list       blocks of a heap: validity, cutting, joining (§7.1 to §7.5)
    first_fit        malloc, free, realloc, calloc over such a list (§7.4 to §7.7)
    heap_blocks      where the kernel heap's blocks lie (§7.2)
    heap             the kernel heap (§7)

Processes
    program          ELF files (§14.1)
    user_memory      a process's pages, from outside (§5.1, §14.3)
    user_blocks      blocks that a process can overwrite (§15.3)
    user_heap        a process's heap, brk (§15.3, §15.4)
    process_memory   program, stack, heap and mappings of one process (§14.3 to §14.6, §15.2, §15.5)
    process          the process object and the list (§14.2, §14.6)
    system_calls     what a process may ask for (§15.1)

The whole
    machine          boot and entry points (§8.3, §9)
    scenarios        what the kernel does after its boot (§11)
    spaces           address spaces walked whole, each table once
    claims, ledger   who has each frame
    invariants       what must be true of the records, a module a noun (docs/invariants.md)
    snapshot         a machine's state as records, and every invariant that it breaks

What plays a trace (docs/replay.md)
    trace            records and operations (§12)
    fast             a twin of frames, regions, paging and heap for long traces, equal by test
    replay           a trace on the twin, results compared
    touched          what an operation looked at
    refusals         what a refusal means
    window           what a ring that lost records still proves
    minimised        the shortest trace that still diverges
"""
