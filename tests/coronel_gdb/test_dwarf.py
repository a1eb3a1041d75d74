"""The DWARF reader on objects that the compiler makes here, at both ends of optimisation."""

import struct
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Section

from coronel_gdb.errors import KernelError
from coronel_gdb.layout.facts import KernelFacts
from coronel_gdb.layout.kept_facts import read_facts
from model.layouts import Layout, Member

SOURCE = """
typedef unsigned long u64;
namespace outer {
struct address { u64 value; };
struct lock { volatile unsigned locked_; };
struct base { u64 first; };
struct pair { u64 start, end; };
class thing : base {
  public:
    static constexpr u64 MAGIC = 0xDEADBEEFCAFEBABE;
    bool flag;
    address where;
    union { u64 word; unsigned half; };
    pair pairs[3];
    thing* next;
    lock lock_;
    static constexpr u64 NEGATIVE = static_cast<u64>(-1);
};
enum class kind : unsigned { none, bad = 7 };
}
inline constexpr u64 GLOBAL_MAGIC = 0xFEEDFACEDEADC0DE;
extern const u64 kept;
const u64 kept = 42;
u64 not_constant = 43;
outer::thing g_thing;
outer::kind g_kind;
u64 use(const u64* p) { return *p + GLOBAL_MAGIC + outer::thing::MAGIC; }
int main() { return static_cast<int>(use(&kept) + use(&not_constant) + outer::thing::NEGATIVE); }
"""
WANTED = ["outer::thing::MAGIC", "outer::thing::NEGATIVE", "GLOBAL_MAGIC", "kept", "not_constant", "bad"]

COMPLETE = ["outer::thing::MAGIC", "GLOBAL_MAGIC"]


@pytest.fixture(params=["-O0", "-O2"])
def program(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source, result = tmp_path / "thing.cpp", tmp_path / "thing"
    source.write_text(SOURCE)
    command = ["g++", "-std=c++20", "-g", "-no-pie", "-fno-eliminate-unused-debug-symbols", request.param]
    subprocess.run([*command, "-Wl,--build-id", "-o", result, source], check=True)
    return result


def test_structures_are_flattened_to_integers(program: Path) -> None:
    facts = read_facts(program, ["outer::thing", "no::such"], [])
    assert dict(facts.layouts) == {
        "outer::thing": Layout(
            "outer::thing",
            96,
            (
                Member("first", 0, 8),
                Member("flag", 8, 1),
                Member("where", 16, 8),
                Member("word", 24, 8),
                Member("half", 24, 4),
                Member("pairs", 32, 8, 6),
                Member("next", 80, 8),
                Member("lock_", 88, 4),
            ),
        )
    }


def test_constants_from_dwarf_and_from_rodata(program: Path) -> None:
    facts = read_facts(program, [], [*WANTED, "outer::bad"])
    assert facts.constants == {
        "outer::thing::MAGIC": 0xDEADBEEFCAFEBABE,
        "outer::thing::NEGATIVE": (1 << 64) - 1,
        "GLOBAL_MAGIC": 0xFEEDFACEDEADC0DE,
        "kept": 42,
        "outer::bad": 7,
    }


def test_facts_are_cached_and_a_damaged_cache_is_ignored(program: Path, tmp_path: Path) -> None:
    facts = read_facts(program, ["outer::thing"], COMPLETE)
    (cached,) = (tmp_path / "cache" / "coronel-gdb").iterdir()
    assert KernelFacts.from_json(cached.read_text()) == facts
    for damage in ("", "{}", "[]", '{"format": 1}', '{"format": 99}', "\0", '{"format": 1, "layouts": 3}'):
        cached.write_text(damage)
        assert read_facts(program, ["outer::thing"], COMPLETE) == facts
    cached.unlink()
    read_facts(program, ["outer::thing", "no::such"], COMPLETE)
    assert not list(cached.parent.iterdir()), "what is incomplete is looked up again"


def test_a_file_that_bears_the_build_id_of_another_has_facts_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small dump brings a kernel of which only its sender knows what is in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sizes = []
    for name, text in (("forged", SOURCE.replace("bool flag;", "bool flag[500];")), ("ours", SOURCE)):
        (tmp_path / f"{name}.cpp").write_text(text)
        command = ["g++", "-std=c++20", "-g", "-Wl,--build-id=0x1234", "-o", str(tmp_path / name)]
        subprocess.run([*command, str(tmp_path / f"{name}.cpp")], check=True)
        sizes.append(
            read_facts(tmp_path / name, ["outer::thing"], COMPLETE).layouts["outer::thing"].size_bytes
        )
    assert sizes == [592, 96]


def part(elf: ELFFile, name: str) -> Section:
    found = elf.get_section_by_name(name)
    assert found is not None
    return found


def patched(program: Path, tag: str, name: bytes, to: str) -> None:
    """Let the type of the first entry of that tag and name be the entry itself, or what it stands in."""
    with program.open("rb") as stream:
        elf = ELFFile(stream)
        offset = part(elf, ".debug_info")["sh_offset"]
        unit = next(elf.get_dwarf_info().iter_CUs())
        entry = next(
            die
            for die in unit.iter_DIEs()
            if die.tag == tag
            and "DW_AT_name" in die.attributes
            and die.attributes["DW_AT_name"].value == name
        )
        target = entry if to == "itself" else entry.get_parent()
        assert target is not None
        at, value = offset + entry.attributes["DW_AT_type"].offset, target.offset - unit.cu_offset
    data = bytearray(program.read_bytes())
    struct.pack_into("<I", data, at, value)
    program.write_bytes(data)


@pytest.mark.parametrize(
    ("tag", "name", "to"),
    [("DW_TAG_typedef", b"u64", "itself"), ("DW_TAG_member", b"where", "its structure")],
)
def test_types_without_end(program: Path, tag: str, name: bytes, to: str) -> None:
    patched(program, tag, name, to)
    with pytest.raises(KernelError, match=r"its types are damaged|recursion"):
        read_facts(program, ["outer::thing"], [])


def test_debug_information_that_claims_to_be_huge(program: Path) -> None:
    subprocess.run(["objcopy", "--compress-debug-sections=zlib", program], check=True)
    data = bytearray(program.read_bytes())
    with program.open("rb") as stream:
        header = part(ELFFile(stream), ".debug_info")["sh_offset"]
    struct.pack_into("<Q", data, header + 8, 1 << 40)
    program.write_bytes(data)
    with pytest.raises(KernelError, match="its debug information claims 1,099,5"):
        read_facts(program, ["outer::thing"], [])


@pytest.mark.parametrize("section", [".debug_info", ".debug_abbrev", ".shstrtab"])
def test_damaged_debug_information_is_one_line(program: Path, section: str) -> None:
    with program.open("rb") as stream:
        found = part(ELFFile(stream), section)
        start, size = found["sh_offset"], found["sh_size"]
    data = bytearray(program.read_bytes())
    for fill in (0, 0xFF):
        data[start : start + size] = bytes([fill]) * size
        program.write_bytes(data)
        with pytest.raises(KernelError) as caught:
            read_facts(program, ["outer::thing"], [])
        assert "\n" not in str(caught.value)


def test_files_that_are_no_kernels(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no ELF file")
    with pytest.raises(KernelError, match="is not a usable ELF file"):
        read_facts(text, [], [])
    with pytest.raises(KernelError, match="cannot read the kernel file"):
        read_facts(tmp_path / "missing", [], [])
    stripped = tmp_path / "stripped"
    subprocess.run(["g++", "-x", "c++", "-s", "-o", stripped, "-"], input=b"int main() {}", check=True)
    with pytest.raises(KernelError, match="has no debug information: build the kernel with -g"):
        read_facts(stripped, [], [])
