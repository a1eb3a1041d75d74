#include "bytes.h"
#include "kernel.h"
#include "machine.h"
#include "truth.h"

// Runs the code of this kernel that has the bug of that name; 0 when there is none.
static int run_bug(const char* name) {
    for (const struct bug* bug = BUGS; bug->name != NULL; ++bug) {
        if (is_equal(bug->name, name)) {
            bug->strike();
            truth_end();
            return 1;
        }
    }
    return 0;
}

void kernel_main(u64 info) {
    static struct boot boot;
    char bug[32];
    read_boot(&boot, info);
    begin(&boot);
    load(option_number(&boot, "ops", 1000), option_number(&boot, "seed", 1) | 1);
    print("loaded\n");
    coronel_checkpoint(1);
    option(&boot, "bug", bug, sizeof bug);
    print(run_bug(bug) ? "struck\n" : "no bug of that name\n");
    coronel_checkpoint(2);
    stop();
}
