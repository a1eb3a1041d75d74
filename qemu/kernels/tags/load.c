#include "bytes.h"
#include "heap.h"
#include "kernel.h"

static u8 memory[512 << 10] __attribute__((aligned(4096)));
static void* held[256];

void begin(const struct boot* boot) {
    (void)boot;
    heap_begin(memory, sizeof memory);
}

// Buffers of many sizes taken, filled and given back at random. What is held stays held.
void load(u64 operations, u64 seed) {
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
