#include "cpu.hpp"
#include "cpu_local.hpp"
#include "heap.hpp"
#include "lib/bytes.hpp"
#include "lib/random.hpp"
#include "routing.hpp"
#include "scenarios/chain.hpp"
#include "scenarios/scenario.hpp"
#include "second_cpu.hpp"
#include "serial.hpp"

// Two CPUs that allocate at once, each for itself: what one holds, the other must never get.
namespace coronel {

namespace {

constexpr u64 SLOTS = 64;
constexpr u64 MOST_BYTES = 512;

struct slot {
    u8* data;
    u64 size;
};

struct worker {
    slot slots[SLOTS];
    u64 done;
    u64 damaged;
};

constinit worker g_workers[MAX_CPUS] = {};
constinit u64 g_seed = 0;
constinit u64 g_ops = 0;

// A byte that no other slot of either CPU is filled with at the same place in its order.
u8 mark(u64 cpu, u64 index) { return static_cast<u8>(1 + cpu * SLOTS + index); }

bool is_intact(const slot& held, u8 expected) {
    for (u64 index = 0; index < held.size; ++index) {
        if (held.data[index] != expected) {
            return false;
        }
    }
    return true;
}

void give_back(worker& own, slot& held, u8 expected) {
    if (!is_intact(held, expected)) {
        ++own.damaged;
    }
    memory::kfree(held.data);
    held = {nullptr, 0};
}

void work() {
    const u64 cpu = cpu::index();
    worker& own = g_workers[cpu];
    lib::random random{g_seed + cpu};
    for (; own.done < g_ops; ++own.done) {
        const u64 index = random.next() % SLOTS;
        slot& held = own.slots[index];
        if (held.data != nullptr) {
            give_back(own, held, mark(cpu, index));
            continue;
        }
        const u64 size = 1 + random.next() % MOST_BYTES;
        held = {static_cast<u8*>(memory::kalloc(size)), size};
        if (held.data == nullptr) {
            held.size = 0;
        } else {
            memset(held.data, mark(cpu, index), size);
        }
    }
    for (u64 index = 0; index < SLOTS; ++index) {
        give_back(own, own.slots[index], mark(cpu, index));
    }
}

}  // namespace

void run_smp(const options& wanted) {
    const u64 allocated = g_kernel_heap->total_allocated();
    g_seed = wanted.seed;
    g_ops = wanted.ops;
    if (second_cpu::start(work) == outcome::failed) {
        return serial::line("smp: there is no second CPU");
    }
    work();
    second_cpu::wait();
    for (u64 cpu = 0; cpu < MAX_CPUS; ++cpu) {
        serial::line("smp: CPU ", cpu, ": ", g_workers[cpu].done, " operations, ",
                     g_workers[cpu].damaged, " blocks damaged");
    }
    print_verdict("smp", allocated);
}

}  // namespace coronel
