#pragma once

#include "options.hpp"

// Work for the memory system, chosen on the command line (docs/spec.md 11).
namespace coronel {

void run_scenarios(const options& wanted);

// One file each.
void run_boot(const options& wanted);
void run_mixed(const options& wanted);
void run_overflow(const options& wanted);
void run_bench(const options& wanted);
void run_processes(const options& wanted);
void run_mmap_churn(const options& wanted);
void run_many_processes(const options& wanted);

}  // namespace coronel
