#include "user/process.hpp"

#include "physical.hpp"
#include "routing.hpp"
#include "scenarios/scenario.hpp"
#include "serial.hpp"
#include "user/scheduler.hpp"

namespace coronel {

namespace {

constexpr u64 ALIVE_AT_ONCE = 8;

}  // namespace

// As many processes as operations, made of the modules in turn, a few at a time.
void run_many_processes(const options& wanted) {
    const u64 modules = boot_modules::count();
    if (modules == 0) {
        return serial::line("many_processes: no module");
    }
    void* const room = memory::kalloc(ALIVE_AT_ONCE * 1024);  // the heap keeps its first expansion
    memory::kfree(room);

    const u64 before = g_physical_manager->free_count();
    u64 made = 0;
    for (u64 index = 0; index < wanted.ops; ++index) {
        made += load_process(boot_modules::at(index % modules), index % modules + 1) != nullptr;
        if ((index + 1) % ALIVE_AT_ONCE == 0 || index + 1 == wanted.ops) {
            run_all_processes();
        }
    }
    serial::line("many_processes: ", made, " made, ", before, " frames free before, ",
                 g_physical_manager->free_count(), " after");
}

}  // namespace coronel
