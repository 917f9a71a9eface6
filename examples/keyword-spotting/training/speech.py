"""Speaks words with espeak-ng and keeps them: `speak` returns 16 kHz samples."""

import functools
import io
import os
import subprocess
import wave
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.signal import resample_poly

from features import SAMPLE_RATE_HZ

KEYWORDS = ["yes", "no", "stop", "go", "left", "right"]
CLASSES = ["silence", "unknown", *KEYWORDS]

# Other words: some near the keywords, none that sounds like one ("know", "write").
OTHER_WORDS = """
up down on off one two three four five six seven eight nine zero cat dog bird house tree happy marvin wow bed learn
visual follow forward backward water music light kitchen window table hello thanks maybe again coffee morning paper
orange yellow purple show though toe low yet guess mess less step shop top spot got goat bow light ride bright night
lift loft lend last gift rest nest note nose so most stove star stay us goal girl gone give life leaf rather rice
write_off ten nothing open close start play pause next back volume red blue green black white
""".replace("write_off", "").split()
HELD_OUT_WORDS = """
guitar pencil planet garden lemon theft slow ghost steps best rise line lost none glow
""".split()
TEXT = """
The weather in the harbour was mild and a small boat came in with the tide. We had some bread and cheese for lunch and
talked about the price of wool. Nobody could tell whether the bridge would be finished before winter, since the workers
were waiting for timber. My sister plays the violin every evening, and her neighbours seem to enjoy it. Please bring a
bottle of milk and three apples from the market. The train to the coast leaves at seven, and the journey takes about two
hours. There is a museum behind the church where they keep old maps and clocks. He painted the door grey because the
shop had run out of every other colour. In the middle of the forest they found a lake which was not on any map.
"""
HELD_OUT_TEXT = """
A letter from the bank arrived this morning and it made him smile. The children built a castle of sand and decorated it
with shells. Many people believe that tea tastes better from thin cups. When the lamp broke, we used candles until the
electrician came. She wanted to become a pilot, but her eyes were too weak, so she studied chemistry instead. The
farmer counted his sheep twice and was still missing four of them. Across the valley you can hear the bells every hour.
"""

ACCENTS = ["en-gb", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc"]
# Names of files in espeak-ng-data/voices/!v.
VOICES = """
m1 m2 m3 m4 m5 m6 f1 f2 f3 f4 klatt klatt2 klatt3 Alex Andy Annie belinda Denis Gene Jacky john Lee Linda Michael michel
pablo paul pedro quincy rob robert steph travis victor zac boris caleb antonio Hugo max
""".split()
HELD_OUT_VOICES = "m7 m8 f5 adam Alicia david edward Gene2 iven shelby Andrea benjamin".split()


@dataclass(frozen=True)
class Utterance:
    """Something to be said, and how."""

    text: str
    accent: str
    voice: str
    words_per_minute: int
    pitch: int


def speak(it: Utterance) -> np.ndarray:
    """The samples in [-1, 1), without the silence around them."""
    command = ["espeak-ng", "-v", f"{it.accent}+{it.voice}", "-s", str(it.words_per_minute), "-p", str(it.pitch)]
    spoken = subprocess.run([*command, "--stdout", it.text], check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(spoken)) as file:
        # A stream's header does not know how long it is.
        rate, samples = file.getframerate(), np.frombuffer(file.readframes(1 << 30), np.int16)
    samples = resample_poly(samples / 32768.0, SAMPLE_RATE_HZ // 50, rate // 50)
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1].astype(np.float32)


def utterances(words, voices, per_voice: int, generator: np.random.Generator) -> list[Utterance]:
    """Each word by each voice, `per_voice` times, with random accent, speed and pitch."""
    return [
        Utterance(
            word,
            str(generator.choice(ACCENTS)),
            voice,
            int(generator.integers(110, 211)),
            int(generator.integers(20, 81)),
        )
        for word in words
        for voice in voices
        for _ in range(per_voice)
    ]


def speak_all(them: list[Utterance]) -> list[np.ndarray]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(functools.partial(speak), them))
