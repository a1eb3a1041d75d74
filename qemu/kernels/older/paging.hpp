#pragma once

#include "address.hpp"

// The page tables: placed for good, and written where the linear map shows them.
namespace paging {

enum class rights : u64 { kernel = 1U << 1 | u64{1} << 63, user = 1U << 1 | 1U << 2 | u64{1} << 63 };

// The kernel's top table.
extern u64 kernel_directory_;

// Maps physical memory below placement::LIMIT linearly, the image by its sections, and turns it on.
void initialize();

// One page more; false when there is no memory for a table.
bool map(vaddr_t page, u64 frame, rights allowed);

// The frame behind a page that is mapped no more; 0 for one that was not.
u64 unmap(vaddr_t page);

}  // namespace paging
