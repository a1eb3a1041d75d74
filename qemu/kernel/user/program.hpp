#pragma once

#include "lib/text.hpp"
#include "user/boot_module.hpp"
#include "user/elf.hpp"
#include "user/user_memory.hpp"

namespace coronel {

// A program as a module holds it: what goes where (docs/spec.md 14.1).
class program {
public:
    struct segment {
        vaddr_t start;
        u64 memory_bytes;  // 0: there is none
        u64 file_bytes;    // the rest is zero
        paddr_t contents;
    };

    // Reads and checks the module's headers; the reason why it is refused, or nothing.
    lib::text read(const boot_module& module);

    // Copies the contents to where they belong, which is mapped and zero.
    outcome load(memory::user_memory target) const;

    const segment& code() const { return code_; }
    const segment& data() const { return data_; }
    vaddr_t entry() const { return entry_; }

private:
    lib::text read_segment(const boot_module& module, const elf_program_header& header);

    segment code_{};
    segment data_{};
    vaddr_t entry_;
};

}  // namespace coronel
