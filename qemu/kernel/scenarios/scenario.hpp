#pragma once

#include "options.hpp"

// Work for the memory system, chosen on the command line (docs/spec.md 11).
namespace coronel {

void run_scenarios(const options& wanted);

// One file each.
void run_boot(const options& wanted);
void run_mixed(const options& wanted);
void run_rapid(const options& wanted);
void run_large(const options& wanted);
void run_fragmentation(const options& wanted);
void run_out_of_memory(const options& wanted);
void run_virtual_exhausted(const options& wanted);
void run_smp(const options& wanted);
void run_overflow(const options& wanted);
void run_overflow1(const options& wanted);
void run_overflow8(const options& wanted);
void run_overflow100(const options& wanted);
void run_underflow(const options& wanted);
void run_use_after_free(const options& wanted);
void run_double_free(const options& wanted);
void run_interior_free(const options& wanted);
void run_wild_header(const options& wanted);
void run_smashed_next(const options& wanted);
void run_smashed_prev(const options& wanted);
void run_cyclic_list(const options& wanted);
void run_frame_double_free(const options& wanted);
void run_frame_free_mapped(const options& wanted);
void run_pte_scribble(const options& wanted);
void run_region_overlap(const options& wanted);
void run_stack_overflow(const options& wanted);
void run_leak(const options& wanted);
void run_bench(const options& wanted);
void run_selftest(const options& wanted);
void run_processes(const options& wanted);
void run_mmap_churn(const options& wanted);
void run_many_processes(const options& wanted);
void run_shared_user_page(const options& wanted);
void run_kernel_user_bit(const options& wanted);
void run_executor(const options& wanted);

}  // namespace coronel
