#include "user_heap.hpp"

#include "paging.hpp"
#include "physical.hpp"

constinit memory::user_heap* g_user_heap = nullptr;

namespace memory {

const u32 user_block::free_tag = 0xAA000000;
const u32 user_block::used_tag = 0x55000000;

void user_heap::initialize(u64 start, u64 limit) {
    heap_start_ = start;
    heap_current_ = start;
    heap_limit_ = limit;
}

void* user_heap::malloc(u64 bytes) {
    const u64 rounded = lib::up(bytes, alignment);
    const auto wanted = static_cast<u32>(rounded < minimum_size ? minimum_size : rounded);
    user_block* last = nullptr;
    user_block* block = first_block_;
    while (block != nullptr && (!block->is_free() || block->size < wanted)) {
        last = block;
        block = block->next;
    }
    if (block == nullptr) {
        block = grow(wanted, last);
        if (block == nullptr) {
            return nullptr;
        }
    }
    split(block, wanted);
    block->flags = user_block::used_tag;
    total_allocated_ += block->size;
    return block->data();
}

void user_heap::free(void* data) {
    user_block* const block = user_block::of(data);
    block->flags = user_block::free_tag | user_block::free_bit;
    total_allocated_ -= block->size;
    merge_next(block);
    if (block->prev != nullptr && block->prev->is_free()) {
        merge_next(block->prev);
    }
}

void user_heap::split(user_block* block, u32 bytes) {
    if (block->size < bytes + sizeof(user_block) + minimum_size) {
        return;
    }
    auto* const rest = reinterpret_cast<user_block*>(block->data() + bytes);
    rest->size = static_cast<u32>(block->size - bytes - sizeof(user_block));
    rest->flags = user_block::free_tag | user_block::free_bit;
    rest->prev = block;
    rest->next = block->next;
    if (rest->next != nullptr) {
        rest->next->prev = rest;
    }
    block->next = rest;
    block->size = bytes;
    ++num_blocks_;
}

void user_heap::merge_next(user_block* block) {
    user_block* const after = block->next;
    if (after == nullptr || !after->is_free()) {
        return;
    }
    block->size += static_cast<u32>(sizeof(user_block)) + after->size;
    block->next = after->next;
    if (block->next != nullptr) {
        block->next->prev = block;
    }
    --num_blocks_;
}

// A new block of whole pages behind all others, or the last one made larger.
user_block* user_heap::grow(u64 bytes, user_block* last) {
    const u64 more = lib::up(bytes + sizeof(user_block), PAGE_SIZE);
    if (more > heap_limit_ - heap_current_) {
        return nullptr;
    }
    for (u64 offset = 0; offset < more; offset += PAGE_SIZE) {
        const u64 frame = g_physical_manager->alloc();
        if (frame == 0 ||
            !paging::map(vaddr_t{heap_current_ + offset}, frame, paging::rights::user)) {
            return nullptr;
        }
    }
    auto* block = reinterpret_cast<user_block*>(heap_current_);
    block->size = static_cast<u32>(more - sizeof(user_block));
    block->flags = user_block::free_tag | user_block::free_bit;
    block->next = nullptr;
    block->prev = last;
    heap_current_ += more;
    ++num_blocks_;
    if (last == nullptr) {
        first_block_ = block;
        return block;
    }
    last->next = block;
    if (last->is_free()) {
        merge_next(last);
        block = last;
    }
    return block;
}

}  // namespace memory
