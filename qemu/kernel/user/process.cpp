#include "user/process.hpp"

#include <new>

#include "routing.hpp"
#include "serial.hpp"
#include "trace.hpp"
#include "user/process_change.hpp"
#include "user/program.hpp"
#include "user/user_mode.hpp"
#include "user/user_space.hpp"

constinit coronel::process* g_process_list = nullptr;
constinit u32 g_process_changes = 0;

namespace coronel {

namespace {

constinit u64 g_next_pid = 1;

void append(process* added) {
    process** end = &g_process_list;
    while (*end != nullptr) {
        end = &(*end)->next;
    }
    *end = added;
}

void remove(process* gone) {
    process** place = &g_process_list;
    while (*place != nullptr && *place != gone) {
        place = &(*place)->next;
    }
    if (*place == gone) {
        *place = gone->next;
    }
}

// At the upper end of the stack; the first parameter says where.
constexpr vaddr_t ARGUMENTS = USER_END - boot_module::ARGUMENTS_SIZE;

outcome push_arguments(process& started, const boot_module& module) {
    return started.memory.bytes().write(ARGUMENTS, module.arguments, sizeof module.arguments);
}

// The pages of the program with its contents, and registers to start with.
outcome fill(process& started, const program& chosen, const boot_module& module) {
    const program::segment& code = chosen.code();
    const program::segment& data = chosen.data();
    if (started.memory.setup_memory_layout(code.start, code.memory_bytes, data.start,
                                           data.memory_bytes) == outcome::failed ||
        chosen.load(started.memory.bytes()) == outcome::failed ||
        push_arguments(started, module) == outcome::failed) {
        return outcome::failed;
    }
    user_mode::prepare(started.context);
    started.context.rip = chosen.entry().value();
    started.context.rdi = ARGUMENTS.value();
    started.context.rsp = ARGUMENTS.value();
    return outcome::done;
}

}  // namespace

process* create_process(lib::text name) {
    const process_change change;
    const u64 pid = g_next_pid++;
    traced_operation traced{operation::process_create, pid};

    // Find.
    void* const place = memory::kalloc(sizeof(process));
    if (place == nullptr) {
        return nullptr;
    }
    process* const created = new (place) process{};

    // Commit, or undo.
    if (created->memory.create() == outcome::failed ||
        created->memory.setup_stack(USER_STACK_AT_START) == outcome::failed) {
        created->memory.cleanup_all();
        memory::kfree(created);
        return nullptr;
    }
    created->pid = pid;
    for (u64 index = 0; index < name.length() && index < sizeof created->name - 1; ++index) {
        created->name[index] = name[index];
    }
    append(created);
    return traced.result(created);
}

process* load_process(const boot_module& module, u64 number) {
    // Check.
    program chosen;
    const lib::text refused = chosen.read(module);
    if (!refused.is_empty()) {
        serial::line("module ", number, ": ", refused);
        return nullptr;
    }

    // Commit, or undo.
    const process_change change;
    process* const created = create_process(lib::text{module.name});
    if (created != nullptr && fill(*created, chosen, module) == outcome::done) {
        return created;
    }
    if (created != nullptr) {
        destroy_process(created);
    }
    serial::line("module ", number, ": out of memory");
    return nullptr;
}

void destroy_process(process* ended) {
    const process_change change;
    traced_operation traced{operation::process_destroy, ended->pid};
    remove(ended);
    ended->memory.cleanup_all();
    memory::kfree(ended);
}

}  // namespace coronel
