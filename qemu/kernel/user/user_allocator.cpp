#include "user/user_allocator.hpp"

#include "user/user_space.hpp"

namespace memory {

namespace {

// As in heap.cpp (docs/spec.md 7.1, 7.4, 7.8).
constexpr u64 GRAIN = 16;
constexpr u64 MAX_SIZE = u64{1} << 40;
constexpr u64 MIN_EXPANSION = 64 * 1024;

// The size of a block for `size` bytes, which is not 0; 0 when there is none so large.
u64 block_size(u64 size) {
    const u64 rounded = lib::up(size, GRAIN);
    return rounded > MAX_SIZE ? 0 : rounded;
}

}  // namespace

void user_allocator::setup(paddr_t directory) {
    lib::spinlock_guard guard{lock_};
    page_directory_ = directory.value();
    heap_start_ = USER_HEAP_START.value();
    heap_current_ = USER_HEAP_START.value();
    heap_limit_ = USER_HEAP_END.value();
}

vaddr_t user_allocator::malloc(u64 size) {
    lib::spinlock_guard guard{lock_};
    return allocate(size);
}

outcome user_allocator::free(vaddr_t data) {
    lib::spinlock_guard guard{lock_};
    return release(data);
}

vaddr_t user_allocator::realloc(vaddr_t data, u64 size) {
    lib::spinlock_guard guard{lock_};

    // Check.
    if (data.is_null()) {
        return allocate(size);
    }
    if (size == 0) {
        release(data);
        return {};
    }
    user_block block;
    if (find_used(data, block) == outcome::failed) {
        return {};
    }
    const u64 rounded = block_size(size);
    if (rounded == 0) {
        refuse(error_kind::out_of_memory, size);
        return {};
    }

    const u64 before = block.header.size;
    user_block next;
    const bool shrinks = rounded <= before && block.can_be_split(rounded);
    const bool is_larger = rounded > before;
    const bool grows = is_larger && next_is_free(block) &&
                       read(block.next(), next) == outcome::done &&
                       before + sizeof(heap_block) + next.header.size >= rounded;
    // Also when the data moves: what release() would refuse then is refused before anything is done.
    if ((shrinks || is_larger) && !may_absorb_next(block)) {
        refuse(error_kind::corruption_detected, data.value());
        return {};
    }

    // Commit: in place.
    if (!is_larger) {
        if (shrinks) {
            shrink(block, rounded);
        }
        return data;
    }
    if (grows) {
        absorb_next(block);
        take(block, rounded);
        total_allocated_ -= before;
        return data;
    }

    // Commit: elsewhere.
    return move(block, size);
}

vaddr_t user_allocator::calloc(u64 count, u64 size) {
    lib::spinlock_guard guard{lock_};

    // Check.
    u64 bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        refuse(error_kind::out_of_memory, size);
        return {};
    }

    // Commit.
    const vaddr_t data = allocate(bytes);
    if (!data.is_null()) {
        memory().fill(data, 0, block_size(bytes));
    }
    return data;
}

vaddr_t user_allocator::brk(vaddr_t end) {
    lib::spinlock_guard guard{lock_};

    // Check.
    const vaddr_t current{heap_current_};
    if (first_block_ != 0 || end < USER_HEAP_START || end > vaddr_t{heap_limit_}) {
        return current;
    }

    // Commit.
    const vaddr_t wanted{lib::up(end.value(), PAGE_SIZE)};
    if (wanted < current) {
        memory().unmap(wanted, current - wanted, page_order::descending);
    } else if (memory().map(current, wanted - current, page_flags::write,
                            page_order::ascending) == outcome::failed) {
        return current;
    }
    heap_current_ = wanted.value();
    return wanted;
}

// docs/spec.md 7.4, 15.3.
vaddr_t user_allocator::allocate(u64 size) {
    // Check.
    if (size == 0) {
        return {};
    }
    const u64 rounded = block_size(size);
    if (rounded == 0) {
        refuse(error_kind::out_of_memory, size);
        return {};
    }

    // Find.
    place fit = find_fit(rounded);
    if (fit.walk == outcome::failed) {
        refuse(error_kind::corruption_detected, fit.last.value());
        return {};
    }
    user_block& block = fit.block;
    if (!fit.found && expand(rounded, !fit.last.is_null(), block) == outcome::failed) {
        return {};
    }

    // Commit.
    take(block, rounded);
    return block.data();
}

// docs/spec.md 7.5, 15.3.
outcome user_allocator::release(vaddr_t data) {
    // Check and find.
    if (data.is_null()) {
        return outcome::done;
    }
    user_block block;
    if (find_used(data, block) == outcome::failed) {
        return outcome::failed;
    }
    if (!may_absorb_next(block)) {
        refuse(error_kind::corruption_detected, data.value());
        return outcome::failed;
    }

    // Commit.
    total_allocated_ -= block.header.size;
    block.set_free();
    write(block);
    if (next_is_free(block)) {
        absorb_next(block);
    }
    user_block prev;
    if (!block.prev().is_null() && read(block.prev(), prev) == outcome::done && prev.is_free() &&
        prev.touches(block.where)) {
        absorb_next(prev);
    }
    return outcome::done;
}

// The used block that `data` belongs to; fails when there is none or it must not be touched, which
// is reported (docs/spec.md 7.5).
outcome user_allocator::find_used(vaddr_t data, user_block& block) {
    const vaddr_t where = data - sizeof(heap_block);
    if (read(where, block) == outcome::failed) {
        refuse(error_kind::invalid_pointer, data.value());
    } else if (block.header.magic == HEAP_MAGIC_FREE) {
        refuse(error_kind::double_free, data.value());
    } else if (block.header.magic != HEAP_MAGIC_USED) {
        refuse(is_reachable(where) ? error_kind::corruption_detected : error_kind::invalid_pointer,
               data.value());
    } else if (read_valid(where, block) == outcome::failed || !is_linked(block)) {
        refuse(error_kind::corruption_detected, data.value());
    } else {
        return outcome::done;
    }
    return outcome::failed;
}

// The rest of a used block, large enough for one, becomes a free block (docs/spec.md 7.6).
void user_allocator::shrink(user_block& block, u64 size) {
    total_allocated_ -= block.header.size - size;
    split(block, size);
    user_block rest;
    if (read(block.next(), rest) == outcome::done && next_is_free(rest)) {
        absorb_next(rest);
    }
}

// A larger block elsewhere with what this one holds; null leaves it as it is (docs/spec.md 7.6).
vaddr_t user_allocator::move(const user_block& block, u64 size) {
    const vaddr_t moved = allocate(size);
    if (moved.is_null()) {
        return {};
    }
    memory().copy(moved, block.data(), block.header.size);
    release(block.data());
    return moved;
}

// Makes the list's last block a free one of at least `bytes` and gives it in `last` (docs/spec.md
// 7.8, 15.3).
outcome user_allocator::expand(u64 bytes, bool has_last, user_block& last) {
    // Find.
    const u64 needed = lib::up(bytes + sizeof(heap_block), PAGE_SIZE);
    const u64 region = needed < MIN_EXPANSION ? MIN_EXPANSION : needed;
    const vaddr_t base{heap_current_};
    if (region > heap_limit_ - heap_current_) {
        refuse(error_kind::virtual_space_exhausted, region);
        return outcome::failed;
    }
    if (memory().map(base, region, page_flags::write, page_order::ascending) == outcome::failed) {
        refuse(error_kind::out_of_memory, region);
        return outcome::failed;
    }

    // Commit.
    heap_current_ += region;
    if (has_last && last.is_free() && last.touches(base)) {
        last.header.size += region;
        write(last);
        return outcome::done;
    }
    if (has_last) {
        last.set_next(base);
        write(last);
    } else {
        heap_start_ = base.value();
        first_block_ = base.value();
    }
    write_free(base, region - sizeof(heap_block), has_last ? last.where : vaddr_t{}, {});
    return read(base, last);
}

void user_allocator::refuse(error_kind kind, u64 subject) {
    report(errors_, "user heap", kind, subject);
}

}  // namespace memory
