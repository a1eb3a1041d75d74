#include "user/user_memory.hpp"

#include "paging.hpp"
#include "physical.hpp"
#include "user/foreign.hpp"

namespace memory {

namespace {

u64 left_in_page(vaddr_t address) { return PAGE_SIZE - address.value() % PAGE_SIZE; }

// Calls `visit(address, done, bytes)` for each piece of [start, start + bytes) that lies in one
// page, until one fails.
template <typename Visitor>
outcome visit_pieces(vaddr_t start, u64 bytes, Visitor visit) {
    for (u64 done = 0; done < bytes;) {
        const u64 room = left_in_page(start + done);
        const u64 piece = bytes - done < room ? bytes - done : room;
        if (visit(start + done, done, piece) == outcome::failed) {
            return outcome::failed;
        }
        done += piece;
    }
    return outcome::done;
}

vaddr_t page_of(vaddr_t address) { return vaddr_t{lib::down(address.value(), PAGE_SIZE)}; }

}  // namespace

outcome user_memory::read(vaddr_t from, void* to, u64 bytes) const {
    return visit_pieces(from, bytes, [&](vaddr_t address, u64 done, u64 piece) {
        const paddr_t source = translate(address);
        if (source.is_null()) {
            return outcome::failed;
        }
        foreign::read(source, static_cast<u8*>(to) + done, piece);
        return outcome::done;
    });
}

outcome user_memory::write(vaddr_t to, const void* from, u64 bytes) const {
    return visit_pieces(to, bytes, [&](vaddr_t address, u64 done, u64 piece) {
        const paddr_t target = translate(address);
        if (target.is_null()) {
            return outcome::failed;
        }
        foreign::write(target, static_cast<const u8*>(from) + done, piece);
        return outcome::done;
    });
}

outcome user_memory::fill(vaddr_t start, u8 value, u64 bytes) const {
    return visit_pieces(start, bytes, [&](vaddr_t address, u64, u64 piece) {
        const paddr_t target = translate(address);
        if (target.is_null()) {
            return outcome::failed;
        }
        foreign::fill(target, value, piece);
        return outcome::done;
    });
}

outcome user_memory::copy(vaddr_t to, vaddr_t from, u64 bytes) const {
    return visit_pieces(to, bytes, [&](vaddr_t to_piece, u64 to_done, u64 to_bytes) {
        return visit_pieces(
            from + to_done, to_bytes, [&](vaddr_t from_piece, u64 done, u64 piece) {
                const paddr_t target = translate(to_piece + done);
                const paddr_t source = translate(from_piece);
                if (target.is_null() || source.is_null()) {
                    return outcome::failed;
                }
                foreign::copy(target, source, piece);
                return outcome::done;
            });
    });
}

outcome user_memory::map(vaddr_t start, u64 bytes, page_flags flags, page_order order) const {
    for (u64 done = 0; done < bytes; done += PAGE_SIZE) {
        const bool up = order == page_order::ascending;
        const vaddr_t page = up ? start + done : start + (bytes - done - PAGE_SIZE);
        if (map_page(page, flags) == outcome::failed) {
            // What was mapped goes back in reverse, so that the free list is as it was.
            unmap(up ? start : page + PAGE_SIZE, done,
                  up ? page_order::descending : page_order::ascending);
            return outcome::failed;
        }
    }
    return outcome::done;
}

void user_memory::unmap(vaddr_t start, u64 bytes, page_order order) const {
    for (u64 done = 0; done < bytes; done += PAGE_SIZE) {
        unmap_page(order == page_order::ascending ? start + done
                                                  : start + (bytes - done - PAGE_SIZE));
    }
}

bool user_memory::allows(vaddr_t start, u64 bytes, page_flags flags) const {
    const auto check = [&](vaddr_t address, u64, u64) {
        const page_entry entry = paging::look_up(directory_, page_of(address));
        const bool writable = entry.is_writable() || !has(flags, page_flags::write);
        return entry.is_user() && writable ? outcome::done : outcome::failed;
    };
    return visit_pieces(start, bytes, check) == outcome::done;
}

// Where a user address lies in physical memory, or null.
paddr_t user_memory::translate(vaddr_t address) const {
    const page_entry entry = paging::look_up(directory_, page_of(address));
    return entry.is_user() ? entry.frame() + address.value() % PAGE_SIZE : paddr_t{};
}

outcome user_memory::map_page(vaddr_t page, page_flags flags) const {
    const paddr_t frame = g_physical_manager->alloc();
    if (frame.is_null()) {
        return outcome::failed;
    }
    foreign::fill(frame, 0, PAGE_SIZE);
    if (paging::map(directory_, page, frame, flags | page_flags::user) == outcome::failed) {
        g_physical_manager->free(frame);
        return outcome::failed;
    }
    return outcome::done;
}

void user_memory::unmap_page(vaddr_t page) const {
    const paddr_t frame = paging::unmap(directory_, page);
    if (!frame.is_null()) {
        g_physical_manager->free(frame);
    }
}

}  // namespace memory
