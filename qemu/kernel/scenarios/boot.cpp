#include "scenarios/scenario.hpp"

namespace coronel {

// The kernel as it is after boot.
void run_boot(const options&) {}

}  // namespace coronel
