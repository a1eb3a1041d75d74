#pragma once

#include "user/process.hpp"

namespace coronel {

// Whether a process runs on after what it did.
enum class turn { goes_on, is_over };

// What the process asks for in its context; the result is put there (docs/spec.md 15.1).
turn handle_system_call(process& caller);

}  // namespace coronel

// Addresses are the caller's. Null, and for those that give no address -1, means refused. Never
// inlined: a debugger stops here.
[[gnu::noinline]] u64 sys_write(coronel::process& caller, vaddr_t text, u64 length);
[[gnu::noinline]] vaddr_t sys_malloc(coronel::process& caller, u64 size);
[[gnu::noinline]] u64 sys_free(coronel::process& caller, vaddr_t data);
[[gnu::noinline]] vaddr_t sys_realloc(coronel::process& caller, vaddr_t data, u64 size);
[[gnu::noinline]] vaddr_t sys_calloc(coronel::process& caller, u64 count, u64 size);
[[gnu::noinline]] vaddr_t sys_brk(coronel::process& caller, vaddr_t end);
[[gnu::noinline]] vaddr_t sys_mmap(coronel::process& caller, vaddr_t start, u64 length,
                                   u64 protection);
[[gnu::noinline]] u64 sys_munmap(coronel::process& caller, vaddr_t start, u64 length);
