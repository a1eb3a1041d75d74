#include "user/process_memory.hpp"

#include "paging.hpp"
#include "physical.hpp"
#include "trace.hpp"
#include "user/process_change.hpp"
#include "user/user_space.hpp"

namespace memory {

outcome process_memory::create() {
    page_directory_ = paging::create_user_page_directory().value();
    if (page_directory_ == 0) {
        return outcome::failed;
    }
    heap_.setup(directory());
    return mmap_.setup(USER_MMAP_START, USER_MMAP_END - USER_MMAP_START);
}

outcome process_memory::setup_memory_layout(vaddr_t code, u64 code_size, vaddr_t data,
                                            u64 data_size) {
    // Check.
    const u64 code_bytes = lib::up(code_size, PAGE_SIZE);
    const u64 data_bytes = lib::up(data_size, PAGE_SIZE);
    if (!code.is_page_aligned() || !data.is_page_aligned() ||
        !lies_inside(code, code_bytes, USER_START, USER_IMAGE_END) ||
        (data_bytes != 0 && !lies_inside(data, data_bytes, USER_START, USER_IMAGE_END))) {
        return outcome::failed;
    }

    // Commit.
    if (bytes().map(code, code_bytes, page_flags::execute, page_order::ascending) ==
        outcome::failed) {
        return outcome::failed;
    }
    code_start_ = code.value();
    code_end_ = (code + code_bytes).value();
    if (bytes().map(data, data_bytes, page_flags::write, page_order::ascending) ==
        outcome::failed) {
        return outcome::failed;
    }
    data_start_ = data.value();
    data_end_ = (data + data_bytes).value();
    return outcome::done;
}

outcome process_memory::setup_stack(u64 size) {
    const u64 stack = lib::up(size, PAGE_SIZE);
    const vaddr_t start = USER_END - stack;
    if (stack == 0 || start < USER_STACK_LIMIT ||
        bytes().map(start, stack, page_flags::write, page_order::ascending) == outcome::failed) {
        return outcome::failed;
    }
    stack_start_ = start.value();
    stack_end_ = USER_END.value();
    return outcome::done;
}

outcome process_memory::grow_stack(vaddr_t address) {
    // Check.
    const vaddr_t start{stack_start_};
    if (address < USER_STACK_LIMIT || address >= start) {
        return outcome::failed;
    }

    // Commit.
    const coronel::process_change change;
    coronel::traced_operation traced{coronel::operation::stack_growth, address};
    const vaddr_t page{lib::down(address.value(), PAGE_SIZE)};
    if (bytes().map(page, start - page, page_flags::write, page_order::descending) ==
        outcome::failed) {
        return outcome::failed;
    }
    stack_start_ = page.value();
    return traced.result(outcome::done);
}

bool process_memory::validate_user_pointer(vaddr_t pointer, u64 size, page_flags access) const {
    return size != 0 && lies_inside(pointer, size, USER_START, USER_END) &&
           bytes().allows(pointer, size, access);
}

vaddr_t process_memory::mmap(vaddr_t start, u64 length, u64 protection) {
    // Check.
    const bool readable = (protection & protection_read) != 0;
    const bool known = (protection & ~(protection_read | protection_write)) == 0;
    if (!readable || !known || length == 0) {
        mmap_.refuse(error_kind::invalid_pointer, start.value());
        return {};
    }

    // Find.
    const coronel::process_change change;
    const vaddr_t place = start.is_null() ? mmap_.alloc(length) : mmap_.alloc(start, length);
    if (place.is_null()) {
        return {};
    }

    // Commit, or undo.
    const u64 pages = lib::up(length, PAGE_SIZE);
    const bool writable = (protection & protection_write) != 0;
    if (bytes().map(place, pages, writable ? page_flags::write : page_flags::read,
                    page_order::ascending) == outcome::failed) {
        mmap_.free(place, pages);
        mmap_.refuse(error_kind::out_of_memory, length);
        return {};
    }
    return place;
}

outcome process_memory::munmap(vaddr_t start, u64 length) {
    // Check. In this part of the space nothing but mmap maps anything.
    if (!start.is_page_aligned() || !lib::is_aligned(length, PAGE_SIZE) || length == 0 ||
        !lies_inside(start, length, USER_MMAP_START, USER_MMAP_END) ||
        !bytes().allows(start, length, page_flags::read)) {
        return outcome::failed;
    }

    // Commit.
    const coronel::process_change change;
    bytes().unmap(start, length, page_order::ascending);
    mmap_.free(start, length);
    return outcome::done;
}

// docs/spec.md 14.6.
void process_memory::cleanup_all() {
    if (page_directory_ == 0) {
        return;
    }
    vaddr_t page = paging::next_user_page(directory(), {});
    while (!page.is_null()) {
        bytes().unmap(page, PAGE_SIZE, page_order::ascending);
        page = paging::next_user_page(directory(), page + PAGE_SIZE);
    }
    paging::destroy_user_page_directory(directory());
    page_directory_ = 0;
    mmap_.give_up();
}

}  // namespace memory
