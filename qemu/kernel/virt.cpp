#include "virt.hpp"

#include "lib/bytes.hpp"
#include "paging.hpp"
#include "physical.hpp"
#include "routing.hpp"
#include "trace.hpp"

using coronel::operation;
using coronel::traced_operation;
using memory::error_kind;

namespace {

constexpr u64 NODES_PER_PAGE = PAGE_SIZE / sizeof(virt::node);

// The pool grows below this. An operation takes one node at most.
constexpr u64 POOL_LOW = 4;

// No address space managed here has more free regions: every other page of 1 GiB (docs/spec.md
// 6.1).
constexpr u64 MOST_REGIONS = u64{1} << 17;

}  // namespace

constinit virt* g_kernel_virtual_manager = nullptr;

void virt::add_nodes(vaddr_t page) {
    node* const nodes = page.as<node>();
    for (u64 index = NODES_PER_PAGE; index > 0; --index) {
        push_spare(&nodes[index - 1]);
    }
}

outcome virt::setup(vaddr_t start, u64 size) {
    lib::spinlock_guard guard{lock_};

    // Check.
    const vaddr_t end = start + size;
    if (!start.is_page_aligned() || !end.is_page_aligned() || end < start) {
        refuse(error_kind::invalid_pointer, start.value());
        return outcome::failed;
    }
    if (size != 0 && !has_spare()) {
        refuse(error_kind::out_of_memory, start.value());
        return outcome::failed;
    }

    // Commit. A region is never empty.
    start_ = start.value();
    end_ = end.value();
    return size == 0 ? outcome::done : join(start_, size, nullptr);
}

void virt::give_up() {
    lib::spinlock_guard guard{lock_};
    for (u64 left = MOST_REGIONS; left > 0 && free_mem_list_.first() != nullptr; --left) {
        remove(free_mem_list_.first());
    }
}

vaddr_t virt::alloc(u64 size) {
    lib::spinlock_guard guard{lock_};
    traced_operation traced{operation::virt_alloc, size, this};
    grow_pool();

    // Check.
    if (size == 0) {
        return {};
    }
    const u64 rounded = lib::up(size, PAGE_SIZE);

    // Find.
    const place found = rounded == 0 ? place{outcome::done, nullptr} : find_first_fit(rounded);
    node* const region = found.at;
    if (found.walk == outcome::failed) {
        refuse(error_kind::corruption_detected, vaddr_t{region}.value());
        return {};
    }
    if (region == nullptr) {
        refuse(error_kind::virtual_space_exhausted, size);
        return {};
    }

    // Commit.
    const vaddr_t start{region->start};
    cut(region, start.value(), rounded);
    return traced.result(start);
}

vaddr_t virt::alloc(vaddr_t start, u64 size) {
    lib::spinlock_guard guard{lock_};
    traced_operation traced{operation::virt_alloc_at, start, size, this};
    grow_pool();

    // Check.
    if (!start.is_page_aligned() || size == 0) {
        refuse(error_kind::invalid_pointer, start.value());
        return {};
    }
    const u64 rounded = lib::up(size, PAGE_SIZE);

    // Find.
    const place found =
        rounded == 0 ? place{outcome::done, nullptr} : find_holder(start.value(), rounded);
    node* const region = found.at;
    if (found.walk == outcome::failed) {
        refuse(error_kind::corruption_detected, vaddr_t{region}.value());
        return {};
    }
    if (region == nullptr) {
        refuse(error_kind::virtual_space_exhausted, start.value());
        return {};
    }
    const bool in_the_middle = region->start < start.value() &&
                               start.value() + rounded < region->start + region->size;
    if (in_the_middle && !has_spare()) {
        refuse(error_kind::out_of_memory, start.value());
        return {};
    }

    // Commit.
    cut(region, start.value(), rounded);
    return traced.result(start);
}

void virt::free(vaddr_t start, u64 size) {
    lib::spinlock_guard guard{lock_};
    traced_operation traced{operation::virt_free, start, size, this};
    grow_pool();

    // Check.
    const u64 rounded = lib::up(size, PAGE_SIZE);
    if (rounded == 0 || !start.is_page_aligned() || !is_inside(start.value(), rounded)) {
        return refuse(error_kind::invalid_pointer, start.value());
    }

    // Find.
    const u64 end = start.value() + rounded;
    const place found = find([start, end](const node* region) {
        return end <= region->start || start.value() < region->start + region->size;
    });
    node* const upper = found.at;
    if (found.walk == outcome::failed) {
        return refuse(error_kind::corruption_detected, vaddr_t{upper}.value());
    }
    if (upper != nullptr && upper->start < end) {
        return refuse(error_kind::double_free, start.value());
    }

    // Commit.
    if (join(start.value(), rounded, upper) == outcome::failed) {
        refuse(error_kind::out_of_memory, start.value());
    }
}

bool virt::has_free(vaddr_t start, u64 size) {
    lib::spinlock_guard guard{lock_};
    const u64 end = start.value() + size;
    const place found = find([start, end](const node* region) {
        return region->start < end && start.value() < region->start + region->size;
    });
    return found.walk == outcome::done && found.at != nullptr;
}

// The kernel manager buys its own nodes, early enough that this cannot need any (docs/spec.md
// 6.3). What fails is undone, counted where it failed, and the operation goes on.
void virt::grow_pool() {
    if (this != g_kernel_virtual_manager || spare_count_ >= POOL_LOW) {
        return;
    }
    const place found = find_first_fit(PAGE_SIZE);
    node* const region = found.at;
    if (found.walk == outcome::failed || region == nullptr) {
        return;
    }
    const vaddr_t page{region->start};
    node* const above = region->size == PAGE_SIZE ? region->next : region;
    cut(region, page.value(), PAGE_SIZE);

    const paddr_t frame = g_physical_manager->alloc();
    if (frame.is_null()) {
        join(page.value(), PAGE_SIZE, above);
        return;
    }
    if (paging::map(paging::kernel_directory(), page, frame, page_flags::write) ==
        outcome::failed) {
        g_physical_manager->free(frame);
        join(page.value(), PAGE_SIZE, above);
        return;
    }
    memset(page.as<void>(), 0, PAGE_SIZE);
    add_nodes(page);
}

// Whether there is a node to take. One from the heap is bought for this and taken at once.
bool virt::has_spare() {
    if (nodes_from_ == node_source::heap && spare_ == nullptr) {
        void* const bought = memory::kalloc(sizeof(node));
        if (bought != nullptr) {
            push_spare(static_cast<node*>(bought));
        }
    }
    return spare_ != nullptr;
}

virt::node* virt::take_spare() {
    if (!has_spare()) {
        return nullptr;
    }
    node* const taken = spare_;
    spare_ = taken->next;
    --spare_count_;
    return taken;
}

void virt::push_spare(node* unused) {
    *unused = {0, 0, spare_, nullptr};
    spare_ = unused;
    ++spare_count_;
}

void virt::give_back(node* unused) {
    if (nodes_from_ == node_source::heap) {
        memory::kfree(unused);
    } else {
        push_spare(unused);
    }
}

// The first region that is wanted. Free regions never touch: a list that is longer than every other
// page is damaged, and must not be followed for ever (docs/spec.md 6.1).
template <typename Wanted>
virt::place virt::find(Wanted is_wanted) const {
    const u64 most = (end_ - start_) / (2 * PAGE_SIZE);
    u64 left = (most < MOST_REGIONS ? most : MOST_REGIONS) + 1;
    node* region = free_mem_list_.first();
    while (region != nullptr) {
        if (left == 0) {
            return {outcome::failed, region};
        }
        if (is_wanted(region)) {
            break;
        }
        --left;
        region = region->next;
    }
    return {outcome::done, region};
}

virt::place virt::find_first_fit(u64 size) const {
    return find([size](const node* region) { return region->size >= size; });
}

// The region that contains all of [start, start + size).
virt::place virt::find_holder(u64 start, u64 size) const {
    return find([start, size](const node* region) {
        return region->start <= start && start - region->start < region->size &&
               size <= region->size - (start - region->start);
    });
}

bool virt::is_inside(u64 start, u64 size) const {
    return start_ <= start && start < end_ && size <= end_ - start;
}

// Takes [start, start + size) out of the region that contains it. In the middle the node keeps the
// lower part, and there is a spare one for the upper (docs/spec.md 6.4, 6.5).
void virt::cut(node* region, u64 start, u64 size) {
    const u64 end = start + size;
    const u64 region_end = region->start + region->size;
    if (region->start == start && region_end == end) {
        remove(region);
    } else if (region->start == start) {
        region->start = end;
        region->size = region_end - end;
    } else {
        region->size = start - region->start;
        if (end != region_end) {
            node* const rest = take_spare();
            rest->start = end;
            rest->size = region_end - end;
            free_mem_list_.insert_before(region->next, rest);
        }
    }
}

// Puts [start, start + size) into the list in front of `upper`, the first region above it, joined
// with the neighbours it touches; the lower node survives (docs/spec.md 6.6).
outcome virt::join(u64 start, u64 size, node* upper) {
    node* const lower = upper == nullptr ? free_mem_list_.last() : upper->prev;
    const bool touches_lower = lower != nullptr && lower->start + lower->size == start;
    const bool touches_upper = upper != nullptr && start + size == upper->start;

    if (touches_lower) {
        lower->size += size;
        if (touches_upper) {
            lower->size += upper->size;
            remove(upper);
        }
    } else if (touches_upper) {
        upper->start = start;
        upper->size += size;
    } else {
        node* const added = take_spare();
        if (added == nullptr) {
            return outcome::failed;
        }
        added->start = start;
        added->size = size;
        free_mem_list_.insert_before(upper, added);
    }
    return outcome::done;
}

void virt::remove(node* region) {
    free_mem_list_.remove(region);
    give_back(region);
}

void virt::refuse(error_kind kind, u64 subject) { memory::report(errors_, "virt", kind, subject); }
