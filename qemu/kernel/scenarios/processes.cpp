#include "user/process.hpp"

#include "physical.hpp"
#include "routing.hpp"
#include "scenarios/scenario.hpp"
#include "serial.hpp"
#include "user/scheduler.hpp"

namespace coronel {

// Every module becomes a process, and all run to their end: all frames must be free again.
void run_processes(const options&) {
    // The kernel heap keeps the memory of its first expansion.
    memory::kfree(memory::kalloc(sizeof(process)));

    const u64 before = g_physical_manager->free_count();
    for (u64 index = 0; index < boot_modules::count(); ++index) {
        load_process(boot_modules::at(index), index + 1);
    }
    run_all_processes();
    serial::line("processes: ", before, " frames free before, ", g_physical_manager->free_count(),
                 " after");
}

}  // namespace coronel
