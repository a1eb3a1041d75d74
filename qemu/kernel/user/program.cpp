#include "user/program.hpp"

#include "user/foreign.hpp"
#include "user/user_space.hpp"

namespace coronel {

namespace {

// Whether [offset, offset + bytes) lies in the module. Nothing wraps.
bool holds(const boot_module& module, u64 offset, u64 bytes) {
    return offset <= module.bytes && bytes <= module.bytes - offset;
}

vaddr_t end_of(const program::segment& segment) {
    return segment.start + lib::up(segment.memory_bytes, PAGE_SIZE);
}

bool overlap(const program::segment& left, const program::segment& right) {
    return left.start < end_of(right) && right.start < end_of(left);
}

lib::text check_file(const elf_header& header) {
    if (header.magic != elf_header::magic_value) {
        return "no ELF file";
    }
    if (header.file_class != elf_header::class_64 || header.data != elf_header::little_endian ||
        header.machine != elf_header::machine_x86_64) {
        return "not for x86-64";
    }
    if (header.type != elf_header::type_executable) {
        return "no static executable";
    }
    if (header.program_header_size != sizeof(elf_program_header)) {
        return "program headers of another size";
    }
    return {};
}

lib::text check_segment(const boot_module& module, const elf_program_header& header) {
    if (header.type != elf_program_header::type_load) {
        return "a segment that is not loaded";
    }
    if ((header.flags & elf_program_header::readable) == 0) {
        return "a segment that is not readable";
    }
    if (!vaddr_t{header.address}.is_page_aligned()) {
        return "a segment that is not page aligned";
    }
    if (header.memory_bytes == 0 || header.file_bytes > header.memory_bytes) {
        return "a segment without a proper size";
    }
    if (!lies_inside(vaddr_t{header.address}, header.memory_bytes, USER_START, USER_IMAGE_END)) {
        return "a segment out of bounds";
    }
    if (!holds(module, header.offset, header.file_bytes)) {
        return "truncated";
    }
    return {};
}

outcome load_segment(memory::user_memory target, const program::segment& segment) {
    // From frame to frame: neither side is mapped.
    constexpr u64 piece_bytes = 512;
    u8 piece[piece_bytes];
    for (u64 done = 0; done < segment.file_bytes; done += piece_bytes) {
        const u64 left = segment.file_bytes - done;
        const u64 bytes = left < piece_bytes ? left : piece_bytes;
        foreign::read(segment.contents + done, piece, bytes);
        if (target.write(segment.start + done, piece, bytes) == outcome::failed) {
            return outcome::failed;
        }
    }
    return outcome::done;
}

}  // namespace

lib::text program::read(const boot_module& module) {
    elf_header header;
    if (!holds(module, 0, sizeof header)) {
        return "truncated";
    }
    foreign::read(module.start, &header, sizeof header);
    const lib::text wrong = check_file(header);
    if (!wrong.is_empty()) {
        return wrong;
    }
    const u64 headers_bytes = header.program_header_count * sizeof(elf_program_header);
    if (!holds(module, header.program_headers, headers_bytes)) {
        return "truncated";
    }
    for (u64 done = 0; done < headers_bytes; done += sizeof(elf_program_header)) {
        elf_program_header part;
        foreign::read(module.start + header.program_headers + done, &part, sizeof part);
        const lib::text refused = read_segment(module, part);
        if (!refused.is_empty()) {
            return refused;
        }
    }

    if (code_.memory_bytes == 0) {
        return "no code";
    }
    if (data_.memory_bytes != 0 && overlap(code_, data_)) {
        return "segments overlap";
    }
    entry_ = vaddr_t{header.entry};
    if (entry_ < code_.start || entry_ - code_.start >= code_.memory_bytes) {
        return "the entry lies outside the code";
    }
    return {};
}

// One of each kind, code first or data first.
lib::text program::read_segment(const boot_module& module, const elf_program_header& header) {
    // Check.
    const lib::text wrong = check_segment(module, header);
    if (!wrong.is_empty()) {
        return wrong;
    }
    const bool writable = (header.flags & elf_program_header::writable) != 0;
    const bool executable = (header.flags & elf_program_header::executable) != 0;
    if (writable == executable) {
        return writable ? "a segment both writable and executable"
                        : "a segment neither writable nor executable";
    }

    // Find.
    segment& place = executable ? code_ : data_;
    if (place.memory_bytes != 0) {
        return executable ? "more than one code segment" : "more than one data segment";
    }

    // Commit.
    place = {vaddr_t{header.address}, header.memory_bytes, header.file_bytes,
             module.start + header.offset};
    return {};
}

outcome program::load(memory::user_memory target) const {
    return load_segment(target, code_) == outcome::done ? load_segment(target, data_)
                                                        : outcome::failed;
}

}  // namespace coronel
