#include "address_map.hpp"
#include "cpu.hpp"
#include "exceptions.hpp"
#include "initialize.hpp"
#include "options.hpp"
#include "scenarios/scenario.hpp"
#include "serial.hpp"
#include "user/boot_module.hpp"
#include "user/user_mode.hpp"

// What boot.S calls, with the physical address of the multiboot information.
extern "C" {
void kernel_prepare(u64 info);
[[noreturn]] void kernel_main(u64 info);
}

// On a small stack inside the image: is there RAM under the kernel stack?
void kernel_prepare(u64 info) {
    serial::initialize();
    exceptions::initialize(0);
    user_mode::initialize();
    memory::require_ram_for_image(linear(paddr_t{info}).as<multiboot_info>());
}

void kernel_main(u64 info) {
    auto* const multiboot = linear(paddr_t{info}).as<multiboot_info>();
    const options wanted = options::read(*multiboot);
    boot_modules::read(*multiboot);
    memory::initialize_memory(multiboot);
    coronel::run_scenarios(wanted);
    serial::line("done");
    cpu::stop();
}
