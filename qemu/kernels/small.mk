# How a small kernel in C is built: its folder's Makefile says KERNEL := name and includes this. It takes the
# way into 64-bit mode from ../../kernel (boot.S, linker script), and what such kernels share from .. .
# Gives, below the repository's build/NAME/: NAME.elf (for debuggers) and NAME.boot.elf (for `qemu -kernel`).

HERE := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
ROOT := $(abspath $(HERE)/../..)
BOOT := $(ROOT)/qemu/kernel

BUILD ?= build/$(KERNEL)
OUT := $(if $(filter /%,$(BUILD)),$(BUILD),$(ROOT)/$(BUILD))
# Other names for what the kernel's source names, as a test of profiles needs them: -Dfd=forward
DEFINES ?=

CC := gcc
OBJCOPY := objcopy
QUIET := $(if $(V),,@)

WARNINGS := -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wsign-conversion -Wcast-qual -Wundef \
    -Wmissing-prototypes -Wstrict-prototypes -Wredundant-decls -Wframe-larger-than=2048

# As Coronel's own: no library, no register beyond the general ones, raw memory that changes its type.
CFLAGS := -std=c17 -O2 -g -I$(HERE) $(WARNINGS) -ffreestanding -mno-red-zone -mcmodel=kernel \
    -mgeneral-regs-only -fno-pic -fno-stack-protector -fcf-protection=none -fno-omit-frame-pointer \
    -fno-asynchronous-unwind-tables -fno-strict-aliasing -fno-delete-null-pointer-checks \
    -fno-tree-loop-distribute-patterns -fno-optimize-sibling-calls $(DEFINES)

LDFLAGS := -nostdlib -static -no-pie -Wl,-T,$(BOOT)/linker.ld -Wl,--build-id=sha1 \
    -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack -Wl,--fatal-warnings

OBJECTS := $(OUT)/objects/boot.o $(patsubst %.c,$(OUT)/objects/%.o,$(sort $(wildcard *.c))) \
    $(patsubst $(HERE)%.c,$(OUT)/objects/shared/%.o,$(sort $(wildcard $(HERE)*.c)))

.PHONY: all clean
.DELETE_ON_ERROR:
.SUFFIXES:

all: $(OUT)/$(KERNEL).elf $(OUT)/$(KERNEL).boot.elf

$(OUT)/$(KERNEL).boot.elf: $(OUT)/$(KERNEL).elf
	$(QUIET)$(OBJCOPY) -O elf32-i386 --strip-all $< $@

$(OUT)/$(KERNEL).elf: $(OBJECTS) $(BOOT)/linker.ld $(HERE)small.mk
	$(QUIET)$(CC) $(LDFLAGS) -o $@ $(OBJECTS)

$(OUT)/objects/boot.o: $(BOOT)/boot.S $(HERE)small.mk
	@mkdir -p $(@D)
	$(QUIET)$(CC) -g -Wa,--fatal-warnings -c -o $@ $<

$(OUT)/objects/%.o: %.c $(HERE)small.mk
	@mkdir -p $(@D)
	$(QUIET)$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(OUT)/objects/shared/%.o: $(HERE)%.c $(HERE)small.mk
	@mkdir -p $(@D)
	$(QUIET)$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

clean:
	rm -rf $(OUT)

-include $(OBJECTS:.o=.d)
