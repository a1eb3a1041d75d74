#include "scenarios/seeded_fault.hpp"

#include "address.hpp"
#include "lib/bytes.hpp"

constinit coronel::seeded_fault g_seeded_fault = {};

namespace coronel {

namespace {

void keep(u8 (&bytes)[MAX_SEEDED_BYTES], const seeded_fault& fault) {
    memcpy(bytes, vaddr_t{fault.address}.as<u8>(),
           fault.length < MAX_SEEDED_BYTES ? fault.length : MAX_SEEDED_BYTES);
}

}  // namespace

void seeded_fault::begin(const bug& which) {
    *this = {};
    kind = which.kind;
    line = which.line;
    file = which.file;
    name = which.scenario;
    caller = which.function;
}

void seeded_fault::keep_original() { keep(original, *this); }

void seeded_fault::keep_written() { keep(written, *this); }

}  // namespace coronel
