#include "scenarios/scenario.hpp"

#include "scenarios/checkpoint_count.hpp"
#include "serial.hpp"

namespace coronel {

namespace {

struct scenario {
    const char* name;
    void (*run)(const options& wanted);
};

constexpr scenario g_scenarios[] = {
    {"boot", run_boot},
    {"mixed", run_mixed},
    {"rapid", run_rapid},
    {"large", run_large},
    {"fragmentation", run_fragmentation},
    {"out_of_memory", run_out_of_memory},
    {"virtual_exhausted", run_virtual_exhausted},
    {"smp", run_smp},
    {"overflow", run_overflow},
    {"overflow1", run_overflow1},
    {"overflow8", run_overflow8},
    {"overflow100", run_overflow100},
    {"underflow", run_underflow},
    {"use_after_free", run_use_after_free},
    {"double_free", run_double_free},
    {"interior_free", run_interior_free},
    {"wild_header", run_wild_header},
    {"smashed_next", run_smashed_next},
    {"smashed_prev", run_smashed_prev},
    {"cyclic_list", run_cyclic_list},
    {"frame_double_free", run_frame_double_free},
    {"frame_free_mapped", run_frame_free_mapped},
    {"pte_scribble", run_pte_scribble},
    {"region_overlap", run_region_overlap},
    {"stack_overflow", run_stack_overflow},
    {"leak", run_leak},
    {"bench", run_bench},
    {"selftest", run_selftest},
    {"processes", run_processes},
    {"mmap_churn", run_mmap_churn},
    {"many_processes", run_many_processes},
    {"shared_user_page", run_shared_user_page},
    {"kernel_user_bit", run_kernel_user_bit},
    {"executor", run_executor},
};

const scenario* find(lib::text name) {
    for (const scenario& candidate : g_scenarios) {
        if (name == candidate.name) {
            return &candidate;
        }
    }
    return nullptr;
}

}  // namespace

void run_scenarios(const options& wanted) {
    lib::text rest = wanted.scenarios;
    while (!rest.is_empty()) {
        const lib::text name = lib::take_piece(rest, ',');
        if (name.is_empty()) {
            continue;
        }
        const scenario* const chosen = find(name);
        if (chosen == nullptr) {
            serial::line("unknown scenario ", name);
            continue;
        }
        chosen->run(wanted);
        pass_checkpoint(chosen->name);
    }
}

}  // namespace coronel
