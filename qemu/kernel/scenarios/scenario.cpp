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
    {"overflow", run_overflow},
    {"bench", run_bench},
    {"processes", run_processes},
    {"mmap_churn", run_mmap_churn},
    {"many_processes", run_many_processes},
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
