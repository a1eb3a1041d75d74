#pragma once

#include "lib/integers.hpp"

// What a process puts into rax (docs/spec.md 15.1). Kernel and programs read this file.
enum class system_call : u64 {
    exit,
    write,
    yield,
    pause,
    malloc,
    free,
    realloc,
    calloc,
    brk,
    mmap,
    munmap,
};
