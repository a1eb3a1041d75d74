#include "heap.hpp"
#include "lib/text.hpp"
#include "scenarios/scenario.hpp"
#include "serial.hpp"
#include "timer.hpp"
#include "trace.hpp"

// How fast the heap is with few and with many blocks, with the trace and without (docs/spec.md
// 16.3).
namespace coronel {

namespace {

constexpr u64 BLOCK_SIZE = 64;
constexpr u64 LIVE_COUNTS[] = {10, 1000, 10000};
constexpr u64 MOST_LIVE = 10000;

// The two are measured in turn, many times for a short while: what disturbs the machine disturbs
// both, and the fastest round of each is the least disturbed.
constexpr u64 ROUNDS = 64;
constexpr u64 ROUND_PARTS_OF_A_SECOND = 200;

constinit void* g_live[MOST_LIVE] = {};

u64 ticks_for(u64 pairs) {
    const u64 start = timer::ticks();
    for (u64 done = 0; done < pairs; ++done) {
        g_kernel_heap->free(g_kernel_heap->malloc(BLOCK_SIZE));
    }
    return timer::ticks() - start;
}

// As many pairs as take about one round.
u64 pairs_of_a_round() {
    const u64 wanted = timer::ticks_per_second() / ROUND_PARTS_OF_A_SECOND;
    u64 pairs = 1;
    while (ticks_for(pairs) < wanted) {
        pairs *= 2;
    }
    return pairs;
}

struct least {
    u64 ticks = ~u64{0};

    void note(u64 measured) { ticks = measured < ticks ? measured : ticks; }
};

void print(u64 live, lib::text trace, u64 pairs, least round) {
    serial::line("bench ", live, " blocks, trace ", trace, ": ",
                 pairs * timer::ticks_per_second() / round.ticks, " pairs/s");
}

void measure(u64 live) {
    const u64 pairs = pairs_of_a_round();
    least with;
    least without;
    for (u64 round = 0; round < ROUNDS; ++round) {
        if (g_trace.is_on()) {
            with.note(ticks_for(pairs));
        }
        trace::pause pause{g_trace};
        without.note(ticks_for(pairs));
    }
    if (g_trace.is_on()) {
        print(live, "on", pairs, with);
    }
    print(live, "off", pairs, without);
}

}  // namespace

void run_bench(const options&) {
    u64 live = 0;
    for (const u64 wanted : LIVE_COUNTS) {
        while (live < wanted) {
            g_live[live++] = g_kernel_heap->malloc(BLOCK_SIZE);
        }
        measure(live);
    }
    while (live > 0) {
        g_kernel_heap->free(g_live[--live]);
    }
}

}  // namespace coronel
