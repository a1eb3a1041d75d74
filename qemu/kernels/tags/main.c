#include "bugs.h"
#include "bytes.h"
#include "heap.h"
#include "machine.h"

static u8 memory[512 << 10] __attribute__((aligned(4096)));
static void* held[256];

// Buffers of many sizes taken, filled and given back at random. What is held stays held.
static void load(u64 operations, u64 seed) {
    for (u64 at = 0; at < operations; ++at) {
        const u64 random = next_random(&seed);
        void** const slot = &held[random % (sizeof held / sizeof held[0])];
        if (*slot != NULL) {
            heap_free(*slot);
            *slot = NULL;
        } else {
            const u64 bytes = 1 + (random >> 20) % ((random >> 50) % 8 == 0 ? 4000 : 200);
            *slot = heap_malloc(bytes);
            if (*slot != NULL) {
                memset(*slot, (int)(random >> 48), bytes);
            }
        }
    }
}

void kernel_main(u64 info) {
    static struct boot boot;
    char bug[32];
    read_boot(&boot, info);
    heap_begin(memory, sizeof memory);
    load(option_number(&boot, "ops", 1000), option_number(&boot, "seed", 1) | 1);
    print("loaded\n");
    coronel_checkpoint(1);
    option(&boot, "bug", bug, sizeof bug);
    print(run_bug(bug) ? "struck\n" : "no bug of that name\n");
    coronel_checkpoint(2);
    stop();
}
