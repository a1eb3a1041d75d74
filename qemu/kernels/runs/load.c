#include "bytes.h"
#include "kalloc.h"
#include "kernel.h"
#include "kvm.h"

// Pages taken and given back at random; about half of them are written to. What is held stays held.
static void* held[256];

void begin(const struct boot* boot) {
    kinit(boot->ram_end);
    kvm_enter();
}

void load(u64 operations, u64 seed) {
    for (u64 at = 0; at < operations; ++at) {
        const u64 random = next_random(&seed);
        void** const slot = &held[random % (sizeof held / sizeof held[0])];
        if (*slot != NULL) {
            kfree(*slot);
            *slot = NULL;
        } else {
            *slot = kalloc();
            if (*slot != NULL && (random >> 40) % 2 != 0) {
                memset(*slot, (int)(random >> 48), PAGE);
            }
        }
    }
}
