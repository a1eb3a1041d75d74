#include "second_cpu.hpp"

#include "address_map.hpp"
#include "cpu.hpp"
#include "exceptions.hpp"
#include "lib/bytes.hpp"
#include "paging.hpp"
#include "timer.hpp"
#include "user/process_change.hpp"
#include "user/user_mode.hpp"
#include "virt.hpp"

// trampoline.S: the code, and the values at its end.
extern "C" const u8 trampoline[];
extern "C" const u8 trampoline_values[];
extern "C" const u8 trampoline_end[];

namespace second_cpu {

namespace {

// In the first MiB, which real mode reaches and nobody manages.
constexpr paddr_t TRAMPOLINE{0x8000};

struct trampoline_data {
    u64 directory;
    u64 stack;
    void (*entry)();
};

// The local APIC (SDM vol. 3A, 10.4.1 and 10.6.1).
constexpr paddr_t LOCAL_APIC{0xFEE00000};
constexpr u64 COMMAND = 0x300;
constexpr u32 TO_ALL_OTHERS = 3U << 18;
constexpr u32 ASSERT = 1U << 14;
constexpr u32 INIT = 5U << 8;
constexpr u32 STARTUP = 6U << 8;

constexpr u64 NUMBER = 1;
constexpr u64 PATIENCE_MILLISECONDS = 200;

enum class state : u32 { stopped, running, done };

alignas(16) constinit u8 g_stack[16 * 1024] = {};
constinit work g_todo = nullptr;
constinit state g_state = state::stopped;
constinit vaddr_t g_apic;

state now() { return __atomic_load_n(&g_state, __ATOMIC_ACQUIRE); }

void become(state next) { __atomic_store_n(&g_state, next, __ATOMIC_RELEASE); }

// The second CPU's first steps in the kernel; the trampoline is not needed any more.
[[noreturn]] void enter() {
    cpu::load_page_directory(paging::kernel_directory());
    exceptions::initialize(NUMBER);
    user_mode::initialize();
    become(state::running);
    g_todo();
    become(state::done);
    cpu::stop();
}

// A space of its own, with the trampoline where real mode leaves it: the kernel's directory has no
// lower half. Null when there is no memory, or none that a 32-bit register can name.
paddr_t make_directory() {
    const paddr_t directory = paging::create_user_page_directory();
    if (directory.is_null()) {
        return {};
    }
    if (directory.value() > ~u32{0} ||
        paging::map(directory, vaddr_t{TRAMPOLINE.value()}, TRAMPOLINE, page_flags::execute) ==
            outcome::failed) {
        paging::destroy_user_page_directory(directory);
        return {};
    }
    return directory;
}

void destroy_directory(paddr_t directory) {
    paging::unmap(directory, vaddr_t{TRAMPOLINE.value()});
    paging::destroy_user_page_directory(directory);
}

// What lay there is put back: all of the first MiB is somebody else's.
void exchange(u8* place, u8* bytes, u64 count) {
    for (u64 index = 0; index < count; ++index) {
        const u8 before = place[index];
        place[index] = bytes[index];
        bytes[index] = before;
    }
}

void send(u32 command) { *(g_apic + COMMAND).as<volatile u32>() = command; }

// SDM vol. 3A, 8.4.4.1.
outcome wake() {
    send(TO_ALL_OTHERS | ASSERT | INIT);
    timer::wait_milliseconds(10);
    send(TO_ALL_OTHERS | ASSERT | STARTUP | static_cast<u32>(TRAMPOLINE.value() / PAGE_SIZE));
    for (u64 waited = 0; waited < PATIENCE_MILLISECONDS; ++waited) {
        if (now() != state::stopped) {
            return outcome::done;
        }
        timer::wait_milliseconds(1);
    }
    send(TO_ALL_OTHERS | ASSERT | INIT);  // whatever it does, it does it no more
    return outcome::failed;
}

outcome wake_by(vaddr_t page, paddr_t directory) {
    if (paging::map(paging::kernel_directory(), page, TRAMPOLINE, page_flags::write) ==
        outcome::failed) {
        return outcome::failed;
    }
    u8 code[256];
    const u64 bytes = static_cast<u64>(trampoline_end - trampoline);
    const trampoline_data values{directory.value(), vaddr_t{g_stack + sizeof g_stack}.value(),
                                 &enter};
    memcpy(code, trampoline, bytes);
    memcpy(code + (trampoline_values - trampoline), &values, sizeof values);
    exchange(page.as<u8>(), code, bytes);
    const outcome woken = wake();
    exchange(page.as<u8>(), code, bytes);
    paging::unmap(paging::kernel_directory(), page);
    return woken;
}

}  // namespace

outcome start(work todo) {
    // Check.
    if (now() != state::stopped) {
        return outcome::failed;
    }

    // Find.
    const coronel::process_change change;  // a space that nobody's list has
    g_apic = g_apic.is_null() ? paging::mapio(LOCAL_APIC, PAGE_SIZE) : g_apic;
    const vaddr_t page = g_kernel_virtual_manager->alloc(PAGE_SIZE);
    const paddr_t directory = make_directory();

    // Commit, and give back what only the start needs.
    g_todo = todo;
    const bool possible = !g_apic.is_null() && !page.is_null() && !directory.is_null();
    const outcome woken = possible ? wake_by(page, directory) : outcome::failed;
    if (!directory.is_null()) {
        destroy_directory(directory);
    }
    if (!page.is_null()) {
        g_kernel_virtual_manager->free(page, PAGE_SIZE);
    }
    return woken;
}

void wait() {
    while (now() != state::done) {
        cpu::pause();
    }
}

}  // namespace second_cpu
