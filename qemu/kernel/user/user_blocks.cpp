#include "user/user_allocator.hpp"

namespace memory {

// No list has more blocks than smallest ones fit the heap: a cycle ends as well (docs/spec.md
// 15.3).
u64 user_allocator::most_blocks() const {
    return (heap_current_ - heap_start_) / (sizeof(heap_block) + 16);
}

bool user_allocator::can_hold_header(vaddr_t address) const {
    return first_block_ != 0 && lib::is_aligned(address.value(), alignof(heap_block)) &&
           heap_start_ <= address.value() &&
           address.value() <= heap_current_ - sizeof(heap_block);
}

// The bytes of a header, whatever they are; fails where none can be.
outcome user_allocator::read(vaddr_t address, user_block& block) const {
    if (!can_hold_header(address)) {
        return outcome::failed;
    }
    block.where = address;
    return memory().read(address, &block.header, sizeof block.header);
}

// docs/spec.md 7.3.
outcome user_allocator::read_valid(vaddr_t address, user_block& block) const {
    if (read(address, block) == outcome::failed) {
        return outcome::failed;
    }
    const heap_block& header = block.header;
    const bool free = header.is_free == 1 && header.magic == HEAP_MAGIC_FREE;
    const bool used = header.is_free == 0 && header.magic == HEAP_MAGIC_USED;
    const bool valid = (free || used) && lib::is_aligned(header.size, 16) && header.size >= 16 &&
                       header.size <= heap_current_ - block.data().value();
    return valid ? outcome::done : outcome::failed;
}

void user_allocator::write(const user_block& block) const {
    memory().write(block.where, &block.header, sizeof block.header);
}

// Whether both neighbours are valid and know the block as theirs (docs/spec.md 7.5).
bool user_allocator::is_linked(const user_block& block) const {
    user_block other;
    const vaddr_t prev = block.prev();
    const bool below = prev.is_null() ? block.where.value() == first_block_
                                      : block.where.value() != first_block_ &&
                                            read_valid(prev, other) == outcome::done &&
                                            other.next() == block.where;
    return below && is_followed_well(block);
}

// Whether the list goes on behind the block as it should (docs/spec.md 7.3a). Whoever writes into
// the next header asks first.
bool user_allocator::is_followed_well(const user_block& block) const {
    user_block next;
    return block.next().is_null() || (read_valid(block.next(), next) == outcome::done &&
                                      next.prev() == block.where);
}

// Whether the next block is either left alone or can be absorbed: the block behind it learns of it.
bool user_allocator::may_absorb_next(const user_block& block) const {
    user_block next;
    return !next_is_free(block) ||
           (read(block.next(), next) == outcome::done && is_followed_well(next));
}

// Whether the list leads there.
bool user_allocator::is_reachable(vaddr_t address) const {
    user_block reached;
    vaddr_t next{first_block_};
    for (u64 left = most_blocks(); left > 0; --left) {
        if (next == address) {
            return true;
        }
        if (read(next, reached) == outcome::failed) {
            return false;
        }
        next = reached.next();
    }
    return false;
}

bool user_allocator::next_is_free(const user_block& block) const {
    user_block next;
    return !block.next().is_null() && block.touches(block.next()) &&
           read(block.next(), next) == outcome::done && next.is_free();
}

// The first free block that is large enough and can be taken (docs/spec.md 7.3a, 7.4).
user_allocator::place user_allocator::find_fit(u64 size) const {
    place at{outcome::done, false, {}, {}};
    vaddr_t next{first_block_};
    for (u64 left = most_blocks(); !next.is_null(); --left) {
        const vaddr_t before = at.last;
        at.last = next;
        if (left == 0 || read_valid(next, at.block) == outcome::failed ||
            at.block.prev() != before) {
            at.walk = outcome::failed;
            return at;
        }
        if (at.block.is_free() && at.block.header.size >= size) {
            at.found = true;
            at.walk = is_followed_well(at.block) ? outcome::done : outcome::failed;
            return at;
        }
        next = at.block.next();
    }
    return at;
}

// A free block between two others; the one below is not changed. Padding keeps what it held
// (docs/spec.md 7.1).
void user_allocator::write_free(vaddr_t address, u64 size, vaddr_t prev, vaddr_t next) {
    user_block block;
    read(address, block);
    block.header.size = size;
    block.set_free();
    block.set_prev(prev);
    block.set_next(next);
    write(block);
    set_prev_of(next, address);
    ++num_blocks_;
}

void user_allocator::set_prev_of(vaddr_t block, vaddr_t prev) const {
    user_block changed;
    if (!block.is_null() && read(block, changed) == outcome::done) {
        changed.set_prev(prev);
        write(changed);
    }
}

// Leaves `size` bytes of data to the block; what is behind them becomes a free block.
void user_allocator::split(user_block& block, u64 size) {
    const vaddr_t rest = block.data() + size;
    write_free(rest, block.header.size - size - sizeof(heap_block), block.where, block.next());
    block.header.size = size;
    block.set_next(rest);
    write(block);
}

// The block becomes a used one of `size` bytes, or a little more (docs/spec.md 7.4).
void user_allocator::take(user_block& block, u64 size) {
    if (block.can_be_split(size)) {
        split(block, size);
    }
    block.set_used();
    write(block);
    total_allocated_ += block.header.size;
}

// The absorbed header stays in memory as it was (docs/spec.md 7.5).
void user_allocator::absorb_next(user_block& block) {
    user_block absorbed;
    if (read(block.next(), absorbed) == outcome::failed) {
        return;
    }
    block.header.size += sizeof(heap_block) + absorbed.header.size;
    block.set_next(absorbed.next());
    write(block);
    set_prev_of(absorbed.next(), block.where);
    --num_blocks_;
}

}  // namespace memory
