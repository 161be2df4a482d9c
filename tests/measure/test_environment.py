"""What is read about the machine, from texts of other machines."""

from pathlib import Path

import numpy as np
import pytest

from steelyard.core.environment import Environment
from steelyard.measure.environment import (
    available_cores,
    memory_bytes,
    package_versions,
    processor_flags,
    processor_name,
    read_environment,
)
from steelyard.measure.noise import clock_step_s, difference_of_yardstick, speed_states

XEON = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) CPU\nflags\t\t: fpu sse avx2 avx512_vnni vmx\n\nprocessor\t: 1\n"
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd evtstrm asimddp\nCPU implementer\t: 0x41\n"


def test_an_intel_processor_is_read() -> None:
    assert processor_name(XEON) == "Intel(R) Xeon(R) CPU"
    assert processor_flags(XEON) == ("avx2", "avx512_vnni")


def test_an_arm_processor_has_features_and_no_name() -> None:
    assert processor_name(ARM) == ""
    assert processor_flags(ARM) == ("asimd", "asimddp")


def test_memory_is_in_bytes_and_unknown_is_zero() -> None:
    assert memory_bytes("MemTotal:       16384 kB\nMemFree: 1 kB\n") == 16_777_216
    assert memory_bytes("") == 0


def test_a_system_that_tells_nothing_gives_an_environment_all_the_same(tmp_path: Path) -> None:
    environment = read_environment(tmp_path)
    assert environment.memory_bytes == 0
    assert environment.flags == ()
    assert environment.processor
    assert environment.cores == available_cores() >= 1


def test_the_environment_survives_its_json_and_keeps_its_key() -> None:
    environment = read_environment()
    assert Environment.from_json(environment.to_json()) == environment
    assert environment.key == read_environment().key


def test_versions_come_from_metadata_of_what_is_installed() -> None:
    assert package_versions()["numpy"] == np.__version__


@pytest.mark.parametrize(
    ("seconds", "states"),
    [([1.0, 1.02, 0.99], (1.0,)), ([1.0, 1.62, 1.01, 1.6], (1.0, 1.6)), ([2.0], (1.0,))],
)
def test_speed_states_are_groups_of_processes(seconds, states) -> None:
    assert speed_states(np.array(seconds)) == states


def test_the_smallest_difference_grows_with_noise_and_is_never_below_a_tie() -> None:
    random = np.random.default_rng(0)
    calm = [1 + 0.001 * random.standard_normal(30) for _ in range(4)]
    wild = [1 + 0.2 * random.standard_normal(30) for _ in range(4)]
    assert difference_of_yardstick(calm) == 0.02
    assert difference_of_yardstick(wild) > 0.05


def test_the_clock_moves_in_steps() -> None:
    assert clock_step_s() > 0
