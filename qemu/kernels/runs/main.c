#include "bugs.h"
#include "bytes.h"
#include "kalloc.h"
#include "kvm.h"
#include "machine.h"

// Pages taken and given back at random; about half of them are written to. What is held stays held.
static void* held[256];

static void load(u64 operations, u64 seed) {
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

void kernel_main(u64 info) {
    static struct boot boot;
    char bug[32];
    read_boot(&boot, info);
    kinit(boot.ram_end);
    kvm_enter();
    load(option_number(&boot, "ops", 1000), option_number(&boot, "seed", 1) | 1);
    print("loaded\n");
    coronel_checkpoint(1);
    option(&boot, "bug", bug, sizeof bug);
    print(run_bug(bug) ? "struck\n" : "no bug of that name\n");
    coronel_checkpoint(2);
    stop();
}
