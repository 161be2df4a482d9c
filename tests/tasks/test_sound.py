"""Sound: spectrograms against numpy's own transform, files of any rate, what is cut and what is refused."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import DataError
from steelyard.core.sequence import SoundInput
from steelyard.tasks.mel import FLOOR, bands, fourier, log_mel, window_samples
from steelyard.tasks.reading import from_arrays, from_data
from steelyard.tasks.rows import read_rows
from steelyard.tasks.sound import encode_sound, fit_sound, unit_scale
from steelyard.tasks.sounds import at_rate, common_rate, source_of_sounds
from steelyard.testing import check_task

KIND = "audio-classification"
RNG = np.random.default_rng(0)
RATE = 4_000


def spec_of(samples=500, window=64, mels=8, rate=RATE):
    return SoundInput(rate, samples, window, window // 2, mels, (0.0,) * mels, (1.0,) * mels)


def tone(hertz, seconds=0.1, rate=RATE):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def test_a_spectrogram_is_the_power_of_windowed_transforms_in_bands():
    spec = spec_of()
    x = RNG.normal(size=(3, spec.samples))
    found = log_mel(x, spec)
    assert found.shape == (3, spec.mels, spec.frames)
    hann = np.hanning(spec.window + 1)[:-1]
    for frame in (0, 4, spec.frames - 1):
        piece = np.zeros((3, spec.window))
        part = x[:, frame * spec.hop : frame * spec.hop + spec.window]
        piece[:, : part.shape[1]] = part
        power = np.abs(np.fft.rfft(piece * hann) * 2 / hann.sum()) ** 2
        wanted = np.log(power @ bands(RATE, spec.window, spec.mels).T + FLOOR)
        np.testing.assert_allclose(found[:, :, frame], wanted, rtol=1e-9)


@given(st.integers(2, 80), st.sampled_from([8_000, 16_000, 44_100]))
def test_bands_are_triangles_in_order_and_none_is_empty(mels, rate):
    weights = bands(rate, 256, mels)
    assert weights.shape == (mels, 129)
    assert (weights >= 0).all()
    assert (weights <= 1).all()
    assert (weights.sum(axis=1) > 0).all()
    assert (np.diff(weights.argmax(axis=1)) >= 0).all()


def test_a_sine_of_full_scale_has_a_power_of_one():
    kernels = fourier(64)
    sine = np.sin(2 * np.pi * 8 * np.arange(64) / 64)
    parts = kernels @ sine
    np.testing.assert_allclose(parts[8] ** 2 + parts[33 + 8] ** 2, 1.0, rtol=1e-9)


def test_a_window_is_an_even_number_of_samples_near_32_ms():
    assert [window_samples(rate) for rate in (8_000, 11_025, 16_000)] == [256, 352, 512]


def test_lengths_and_statistics_are_those_of_train():
    sounds = [RNG.normal(size=100 + row).astype(np.float32) for row in range(50)] + [np.zeros(999, np.float32)]
    spec, notes = fit_sound(sounds, np.arange(50), RATE)
    assert spec.samples == 149
    spectra = log_mel(encode_sound(spec, sounds[:50]), spec)
    np.testing.assert_allclose(spec.mean, spectra.mean(axis=(0, 2)), rtol=1e-6)
    np.testing.assert_allclose(spec.std, spectra.std(axis=(0, 2)), rtol=1e-6)
    assert notes[0].text == "sounds are filled up with silence or cut to 0.0372 s (149 samples)"


def test_short_sounds_end_in_silence_and_long_ones_are_cut():
    rows = encode_sound(spec_of(samples=4), [np.ones(2), np.ones(6)])
    assert rows.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]


def test_whole_numbers_are_parts_of_their_full_scale():
    assert unit_scale(np.array([-32768, 16384], dtype=np.int16)).tolist() == [-1.0, 0.5]
    assert unit_scale(np.array([0, 128, 192], dtype=np.uint8)).tolist() == [-1.0, 0.0, 0.5]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (np.zeros((2, 3, 4)), "'x' must hold sounds (n, samples), got an array (2, 3, 4); mix channels to one."),
        ([np.zeros((2, 3))], "'x' must hold sounds of one channel, got (2, 3) in row 1; mix them to one."),
        ([np.array([np.nan])], "'x' must hold finite samples, got NaN or infinity in row 1; clean the sound."),
        ([np.array(["a"])], "'x' must hold samples as numbers, got <U1."),
    ],
)
def test_what_is_no_sound_is_refused(raw, message):
    with pytest.raises(DataError) as caught:
        encode_sound(spec_of(), raw)
    assert str(caught.value) == message


def test_the_commonest_rate_wins_and_others_are_told():
    rate, notes = common_rate([8_000, 16_000, 8_000])
    assert rate == 8_000
    assert notes[0].text == "2 rates of sounds, all resampled to the commonest, 8,000 Hz (others: 1)"
    assert common_rate([8_000, 16_000])[0] == 8_000


def test_a_resampled_tone_stays_the_tone():
    found = at_rate(tone(200, rate=8_000), 8_000, RATE)
    np.testing.assert_allclose(found[40:-40], tone(200)[40:-40], atol=0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for row in range(30):
        home = tmp_path / "sounds" / ("low" if row % 2 else "high")
        home.mkdir(parents=True, exist_ok=True)
        rate = 8_000 if row == 3 else RATE
        sound = tone(200 if row % 2 else 800, seconds=0.05 + 0.001 * row, rate=rate)
        soundfile.write(home / f"{row:02}.wav", np.stack([sound, sound], axis=1) if row == 4 else sound, rate)
    return tmp_path / "sounds"


def test_a_folder_of_mixed_sounds_becomes_a_task_and_is_predicted_from(folder):
    (folder / "low" / "31.wav").write_bytes(b"RIFF")
    task = from_data(folder, KIND)
    check_task(task)
    told = [fact.text for fact in task.facts]
    assert "2 rates of sounds, all resampled to the commonest, 4,000 Hz (others: 1)" in told
    assert "damaged sounds passed over: 1 (low/31.wav)" in told
    assert sum(len(rows) for rows in (task.train, task.valid, task.test)) == 30
    (folder / "low" / "31.wav").unlink()
    assert encode_sound(task.input, read_rows(folder, task.input)).shape == (30, task.input.samples)
    assert len(read_rows(folder / "low" / "03.wav", task.input)) == 1


def test_a_zip_is_read_like_a_folder(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "sounds.zip", "w") as archive:
        for file in sorted(folder.rglob("*.wav")):
            archive.write(file, file.relative_to(folder))
    one, other = source_of_sounds(folder), source_of_sounds(tmp_path / "sounds.zip")
    assert one.y.tolist() == other.y.tolist()
    assert all(np.array_equal(a, b) for a, b in zip(one.x, other.x, strict=True))


def test_too_many_damaged_sounds_are_refused_by_name(folder):
    for row in range(4):
        (folder / "low" / f"bad{row}.wav").write_bytes(b"nothing")
    with pytest.raises(DataError) as caught:
        from_data(folder, KIND)
    assert str(caught.value) == (
        f"{folder} must hold sounds that can be read, but 4 of 34 are damaged (low/bad0.wav, low/bad1.wav, "
        "low/bad2.wav, …); at most 5% are passed over."
    )


def test_a_folder_without_sounds_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "note.txt").write_text("no sound")
    with pytest.raises(DataError, match=r"must hold sound files .* got none among 1 files; is it the right folder"):
        from_data(tmp_path, KIND)


def test_arrays_of_sound_say_their_rate(tmp_path):
    x, y = np.stack([tone(200 if row % 2 else 800) for row in range(30)]), np.arange(30) % 2
    np.savez(tmp_path / "told.npz", x=x, y=y, rate=RATE)
    task = from_data(tmp_path / "told.npz", KIND)
    check_task(task)
    assert task.input.rate == RATE
    np.savez(tmp_path / "untold.npz", x=x, y=y)
    with pytest.raises(DataError) as caught:
        from_data(tmp_path / "untold.npz", KIND)
    assert str(caught.value) == (
        f"{tmp_path / 'untold.npz'} must say its rate of sound in samples a second, in an array 'rate'; or give a "
        "folder or .zip of class folders of sound files."
    )
    np.savez(tmp_path / "other.npz", x=x, rate=8_000)
    with pytest.raises(DataError) as caught:
        read_rows(tmp_path / "other.npz", task.input)
    assert str(caught.value) == (
        f"{tmp_path / 'other.npz'} must hold sound at 4,000 Hz for this model, got 8,000 Hz; resample it."
    )


def test_sound_in_memory_needs_a_file_for_its_rate():
    with pytest.raises(DataError, match=r"^'x' must say its rate of sound"):
        from_arrays(np.zeros((30, 100)), np.arange(30) % 2, KIND)
