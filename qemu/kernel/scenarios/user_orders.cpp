#include "scenarios/mailbox.hpp"
#include "user/process.hpp"
#include "user/system_calls.hpp"

namespace coronel {

namespace {

// The live process at this address, or null: nothing else is taken for one.
process* find(u64 address) {
    process* found = g_process_list;
    while (found != nullptr && vaddr_t{found}.value() != address) {
        found = found->next;
    }
    return found;
}

u64 create(u64 module) {
    const process* const created =
        module < boot_modules::count()
            ? load_process(boot_modules::at(module), module + 1)
            : create_process("executor");
    return vaddr_t{created}.value();
}

// What the process itself could write.
u64 store(process& owner, vaddr_t start, u64 value, u64 bytes) {
    return bytes <= sizeof value &&
                   owner.memory.validate_user_pointer(start, bytes, page_flags::write) &&
                   owner.memory.bytes().write(start, &value, bytes) == outcome::done
               ? 1
               : 0;
}

u64 validate(process& owner, vaddr_t start, u64 bytes, u64 writing) {
    const page_flags access = writing != 0 ? page_flags::write : page_flags::read;
    return owner.memory.validate_user_pointer(start, bytes, access) ? 1 : 0;
}

}  // namespace

u64 execute_for_process(order_code code, const u64 (&arguments)[ORDER_ARGUMENTS]) {
    if (code == order_code::process_create) {
        return create(arguments[0]);
    }
    process* const caller = find(arguments[0]);
    if (caller == nullptr) {
        return 0;
    }
    const u64 second = arguments[1];
    const u64 third = arguments[2];
    const u64 fourth = arguments[3];
    switch (static_cast<u32>(code)) {
    case static_cast<u32>(order_code::process_destroy):
        destroy_process(caller);
        return 1;
    case static_cast<u32>(order_code::sys_malloc):
        return sys_malloc(*caller, second).value();
    case static_cast<u32>(order_code::sys_free):
        return sys_free(*caller, vaddr_t{second});
    case static_cast<u32>(order_code::sys_realloc):
        return sys_realloc(*caller, vaddr_t{second}, third).value();
    case static_cast<u32>(order_code::sys_calloc):
        return sys_calloc(*caller, second, third).value();
    case static_cast<u32>(order_code::sys_brk):
        return sys_brk(*caller, vaddr_t{second}).value();
    case static_cast<u32>(order_code::sys_mmap):
        return sys_mmap(*caller, vaddr_t{second}, third, fourth).value();
    case static_cast<u32>(order_code::sys_munmap):
        return sys_munmap(*caller, vaddr_t{second}, third);
    case static_cast<u32>(order_code::stack_growth):
        return caller->memory.grow_stack(vaddr_t{second}) == outcome::done ? 1 : 0;
    case static_cast<u32>(order_code::user_store):
        return store(*caller, vaddr_t{second}, third, fourth);
    case static_cast<u32>(order_code::user_validate):
        return validate(*caller, vaddr_t{second}, third, fourth);
    default:
        return 0;
    }
}

}  // namespace coronel
