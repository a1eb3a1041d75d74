#include "paging.hpp"

#include "address_map.hpp"
#include "physical.hpp"
#include "selftests/results.hpp"
#include "virt.hpp"

using memory::error_kind;

namespace coronel {

namespace {

constexpr paddr_t LOCAL_APIC{0xfee00000};
constexpr u64 APIC_VERSION = 0x30;

// A page and a frame for one test.
struct place {
    vaddr_t page = g_kernel_virtual_manager->alloc(PAGE_SIZE);
    paddr_t frame = g_physical_manager->alloc();

    ~place() {
        g_physical_manager->free(frame);
        g_kernel_virtual_manager->free(page, PAGE_SIZE);
    }
};

outcome map(vaddr_t page, paddr_t frame) {
    return paging::map(paging::kernel_directory(), page, frame, page_flags::write);
}

paddr_t unmap(vaddr_t page) { return paging::unmap(paging::kernel_directory(), page); }

const char* maps_and_unmaps() {
    const place one;
    const place other;
    if (map(one.page, one.frame) != outcome::done || map(other.page, one.frame) != outcome::done) {
        return "map";
    }
    *one.page.as<volatile u64>() = 0x1234;
    const bool same = *other.page.as<volatile u64>() == 0x1234;
    if (unmap(one.page) != one.frame || unmap(other.page) != one.frame) {
        return "unmap";
    }
    return same ? nullptr : "two pages of one frame differ";
}

const char* refuses_a_second_leaf() {
    const place here;
    const u64 before = paging::errors(error_kind::invalid_pointer);
    map(here.page, here.frame);
    const bool refused = map(here.page, here.frame) == outcome::failed &&
                         map(vaddr_t{_text_start}, here.frame) == outcome::failed;
    unmap(here.page);
    return refused && paging::errors(error_kind::invalid_pointer) == before + 2 ? nullptr
                                                                               : "mapped over it";
}

const char* refuses_bad_addresses() {
    const place here;
    const u64 before = paging::errors(error_kind::invalid_pointer);
    const vaddr_t no_address{0x0000800000000000};
    if (map(here.page + 1, here.frame) != outcome::failed ||
        map(here.page, here.frame + 8) != outcome::failed ||
        map(no_address, here.frame) != outcome::failed) {
        return "map";
    }
    if (!unmap(here.page).is_null() || !unmap(here.page + 1).is_null() ||
        !unmap(no_address).is_null()) {
        return "unmap";
    }
    return paging::errors(error_kind::invalid_pointer) == before + 6 ? nullptr : "the count";
}

const char* shares_the_kernel_half_alone() {
    const place here;
    const paddr_t directory = paging::create_user_page_directory();
    if (directory.is_null()) {
        return "no directory";
    }
    map(here.page, here.frame);
    const bool seen = paging::look_up(directory, here.page).frame() == here.frame;
    unmap(here.page);
    const bool empty = paging::next_user_page(directory, {}).is_null();
    paging::destroy_user_page_directory(directory);
    return seen && empty ? nullptr : "kernel half or lower half";
}

const char* maps_devices() {
    const vaddr_t apic = paging::mapio(LOCAL_APIC + APIC_VERSION, 4);
    const vaddr_t again = paging::mapio(LOCAL_APIC, PAGE_SIZE + 1);
    if (apic < DEVICE_BASE || apic.value() % PAGE_SIZE != APIC_VERSION || again - apic < 0x100) {
        return "the address";
    }
    const u32 version = *apic.as<volatile u32>();
    if (version == 0 || version == ~u32{0}) {
        return "no device there";
    }
    const u64 invalid = paging::errors(error_kind::invalid_pointer);
    const u64 exhausted = paging::errors(error_kind::virtual_space_exhausted);
    return paging::mapio(LOCAL_APIC, 0).is_null() &&
                   paging::mapio(paddr_t{~u64{0}}, 2).is_null() &&
                   paging::mapio(LOCAL_APIC, u64{1} << 30).is_null() &&
                   paging::errors(error_kind::invalid_pointer) == invalid + 2 &&
                   paging::errors(error_kind::virtual_space_exhausted) == exhausted + 1
               ? nullptr
               : "bad sizes";
}

}  // namespace

void test_paging(results& into) {
    into.run("paging maps and unmaps", maps_and_unmaps);
    into.run("paging refuses a second leaf", refuses_a_second_leaf);
    into.run("paging refuses bad addresses", refuses_bad_addresses);
    into.run("paging shares the kernel half alone", shares_the_kernel_half_alone);
    into.run("paging maps devices", maps_devices);
}

}  // namespace coronel
