#include "cpu_local.hpp"

constinit cpu_local g_cpu_locals[MAX_CPUS] = {{0, 0, 0, 0}, {1, 0, 0, 0}};
