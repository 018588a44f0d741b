from benchmarks.machine import describe, processor

CPUINFO = """processor\t: 0
cpu family\t: 25
model\t\t: 17
model name\t: A Processor
flags\t\t: fpu sse2 avx2 avx512f avx512_bf16 avx512_vnni
processor\t: 1
model name\t: Another
"""


def test_the_units_that_matter_are_named() -> None:
    name, units = processor(CPUINFO)
    assert name == "A Processor (family 25, model 17)"
    assert units == ["avx2", "avx512f", "avx512_bf16", "avx512_vnni"]
    assert processor("") == ("", [])


def test_the_machine_says_what_it_is() -> None:
    found = describe()
    assert found["cores"] >= 1
    assert "torch" in found["packages"]
    assert found["commit"]
