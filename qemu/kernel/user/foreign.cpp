#include "user/foreign.hpp"

#include "lib/bytes.hpp"
#include "window.hpp"

namespace foreign {

namespace {

// A window onto one address, for as many bytes as its page has from there on.
class view {
public:
    view(window::slot which, paddr_t address)
        : interrupts_{cpu::interrupts_off()},
          window_{which, paddr_t{lib::down(address.value(), PAGE_SIZE)}},
          offset_{address.value() % PAGE_SIZE} {}
    ~view() { cpu::restore_interrupts(interrupts_); }

    view(const view&) = delete;
    view& operator=(const view&) = delete;

    u8* data() const { return (vaddr_t{&window_.table()} + offset_).as<u8>(); }

private:
    cpu::interrupts interrupts_;  // a handler on this CPU would find the slot taken
    window window_;
    u64 offset_;
};

u64 left_in_page(paddr_t address) { return PAGE_SIZE - address.value() % PAGE_SIZE; }

u64 min(u64 left, u64 right) { return left < right ? left : right; }

}  // namespace

void read(paddr_t from, void* to, u64 bytes) {
    for (u64 done = 0; done < bytes;) {
        const view source{window::slot::source, from + done};
        const u64 piece = min(bytes - done, left_in_page(from + done));
        memcpy(static_cast<u8*>(to) + done, source.data(), piece);
        done += piece;
    }
}

void write(paddr_t to, const void* from, u64 bytes) {
    for (u64 done = 0; done < bytes;) {
        const view target{window::slot::target, to + done};
        const u64 piece = min(bytes - done, left_in_page(to + done));
        memcpy(target.data(), static_cast<const u8*>(from) + done, piece);
        done += piece;
    }
}

void fill(paddr_t start, u8 value, u64 bytes) {
    for (u64 done = 0; done < bytes;) {
        const view target{window::slot::target, start + done};
        const u64 piece = min(bytes - done, left_in_page(start + done));
        memset(target.data(), value, piece);
        done += piece;
    }
}

void copy(paddr_t to, paddr_t from, u64 bytes) {
    for (u64 done = 0; done < bytes;) {
        const view target{window::slot::target, to + done};
        const view source{window::slot::source, from + done};
        const u64 piece =
            min(bytes - done, min(left_in_page(to + done), left_in_page(from + done)));
        memcpy(target.data(), source.data(), piece);
        done += piece;
    }
}

}  // namespace foreign
