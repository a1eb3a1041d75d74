#pragma once

#include "exceptions.hpp"
#include "lib/text.hpp"
#include "user/boot_module.hpp"
#include "user/process_memory.hpp"

namespace coronel {

enum class process_state : u32 { ready, paused, ended };

// A program that runs in ring 3, in an address space of its own (docs/spec.md 14.2).
struct process {
    u64 pid;  // from 1, never used again
    process_state state;
    u32 exit_code;
    process* next;
    ::memory::process_memory memory;
    char name[boot_module::NAME_SIZE];

    // Its registers while it does not run: what it left, and what it goes on with.
    exceptions::frame context;
};

static_assert(sizeof(process) == 480);
static_assert(offsetof(process, pid) == 0);
static_assert(offsetof(process, state) == 8);
static_assert(offsetof(process, exit_code) == 12);
static_assert(offsetof(process, next) == 16);
static_assert(offsetof(process, memory) == 24);
static_assert(offsetof(process, name) == 288);
static_assert(offsetof(process, context) == 304);

// A process with a stack and nothing else, at the end of the list; or null.
process* create_process(lib::text name);

// A process that will run this module's program. Null, with the reason printed, when it is refused;
// `number` is what the module is called there.
process* load_process(const boot_module& module, u64 number);

// Takes it out of the list and gives back all it had. Its space must not be the active one.
void destroy_process(process* ended);

}  // namespace coronel

// The live processes in order of pid.
extern coronel::process* g_process_list;
