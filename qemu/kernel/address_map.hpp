#pragma once

#include "address.hpp"

// The kernel address space once paging is set up (docs/spec.md 2).
//
//   0xffffffff80000000  KERNEL_BASE    low memory                         not mapped
//   0xffffffff80100000  _text_start    code                               R X
//                       _rodata_start  constants                          R
//                       _data_start    data and bss                       R W
//                       _bss_end       gap                                not mapped
//   0xffffffff80325000  STACK_GUARD    one page that stops an overflow    not mapped
//   0xffffffff80326000  STACK_START    kernel stack, 64 KiB               R W
//   0xffffffff80336000  _end           placement area                     R W
//                       V0             regions of the virtual manager     R W
//   0xffffffffbfe00000  WINDOW_BASE    windows onto single frames         R W
//   0xffffffffc0000000  DEVICE_BASE    devices                            R W, not cached
//   0xfffffffffffff000  DEVICE_END     the last page stays free           not mapped
//
// From KERNEL_BASE to the placement end the mapping is linear: virtual = physical + KERNEL_BASE.
// boot.S and linker.ld repeat KERNEL_BASE and the stack; the linker compares what it can.

inline constexpr vaddr_t KERNEL_BASE{0xffffffff80000000};
inline constexpr vaddr_t STACK_GUARD{0xffffffff80325000};
inline constexpr vaddr_t STACK_START{0xffffffff80326000};
inline constexpr vaddr_t STACK_END{0xffffffff80336000};
inline constexpr vaddr_t WINDOW_BASE{0xffffffffbfe00000};
inline constexpr vaddr_t DEVICE_BASE{0xffffffffc0000000};
inline constexpr vaddr_t DEVICE_END{0xfffffffffffff000};

// Where the image is loaded; all below belongs to firmware and boot loader (docs/spec.md 1.1).
inline constexpr paddr_t IMAGE_START{0x100000};

// What boot.S maps, at 0 and at KERNEL_BASE (docs/spec.md 1.2).
inline constexpr paddr_t EARLY_MAP_END{0x40000000};

// Section symbols: their addresses are their values.
extern "C" {
extern char _text_start[];
extern char _text_end[];
extern char _rodata_start[];
extern char _rodata_end[];
extern char _data_start[];
extern char _bss_end[];
extern char _end[];
}

constexpr vaddr_t linear(paddr_t address) { return KERNEL_BASE + address.value(); }

constexpr paddr_t linear(vaddr_t address) { return paddr_t{address - KERNEL_BASE}; }
