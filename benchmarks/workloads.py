"""What is scored in the benchmarks: rows in Parquet, and the model, as every contender takes it.

A model is one class for all contenders: `tensors` makes its input of columns as NumPy or plain
lists, `forward` computes. What differs between contenders is only how columns reach it and how
predictions leave.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.trees import Trees

ROOT = Path(__file__).parents[1]
WIDTH = 64
NAMES = [f"f{place:02d}" for place in range(WIDTH)]
_FILES = 2


class Net(torch.nn.Module):
    """64-256-256-1 with ReLU."""

    def __init__(self, features: int = WIDTH, outputs: int = 1, hidden: int = 256) -> None:
        super().__init__()
        linear, relu = torch.nn.Linear, torch.nn.ReLU
        self.layers = torch.nn.Sequential(
            linear(features, hidden),
            relu(),
            linear(hidden, hidden),
            relu(),
            linear(hidden, outputs),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layers(features)


class TextNet(torch.nn.Module):
    """Kim's convolutional network for sentences (2014), small: embeddings of 32, widths 3 and 4,
    maximum over time.
    """

    def __init__(self, words: int) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(words, 32, padding_idx=0)
        self.widths = torch.nn.ModuleList(torch.nn.Conv1d(32, 48, width) for width in (3, 4))
        self.out = torch.nn.Linear(96, 1)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        embedded = self.embed(ids).transpose(1, 2)
        found = [torch.relu(width(embedded)).amax(dim=2) for width in self.widths]
        return self.out(torch.cat(found, dim=1))


class ImageNet(torch.nn.Module):
    """Three convolutions with stride 2 on 3 x 112 x 112."""

    def __init__(self) -> None:
        super().__init__()
        conv, relu = torch.nn.Conv2d, torch.nn.ReLU
        self.layers = torch.nn.Sequential(
            conv(3, 16, 3, stride=2), relu(), conv(16, 32, 3, stride=2), relu(),
            conv(32, 64, 3, stride=2), relu(),
            torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(64, 1),
        )  # fmt: skip

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.layers(pixels)


class Model:
    """One way for all: on one thread, because there are as many workers as cores."""

    output: Mapping[str, str] = {"prediction": "double"}

    def __init__(self, module: torch.nn.Module) -> None:
        torch.set_num_threads(1)
        self.module = module.eval()

    def tensors(self, columns: Sequence[Any]) -> torch.Tensor:
        """Columns in the workload's order, as NumPy arrays or sequences of values."""
        raise NotImplementedError

    def run(self, tensors: torch.Tensor) -> np.ndarray:
        """`(rows,) float64`."""
        with torch.inference_mode():
            return self.module(tensors)[:, 0].double().numpy()

    # The engine's contract, and what the bare loop calls too.
    def encode(self, batch: pa.RecordBatch) -> dict[str, Any]:
        return {"tensors": self.tensors([_values(batch.column(name)) for name in self.names])}

    def forward(self, tensors: dict[str, Any]) -> Any:
        return self.run(tensors["tensors"])

    def decode(self, output: Any) -> dict[str, pa.Array]:
        return {"prediction": pa.array(output)}

    names: Sequence[str] = ()


def _values(column: pa.Array) -> Any:
    is_number = pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
    return column.to_numpy() if is_number else column.to_pylist()


class Tabular(Model):
    """64 float32 columns to the MLP."""

    names = NAMES

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(Net())

    def tensors(self, columns: Sequence[Any]) -> torch.Tensor:
        values = np.empty((len(columns[0]), len(columns)), np.float32)
        for place, column in enumerate(columns):
            values[:, place] = column
        return torch.from_numpy(values)


class Text(Model):
    """Sentences to ids (words by a fixed hash, 64 at most, padded to the longest of the batch) to
    the text network.
    """

    names = ("sentence",)
    words, most = 20_000, 64

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(TextNet(self.words))
        self.known: dict[str, int] = {}

    def weight(self, batch: pa.RecordBatch) -> np.ndarray:
        """Characters, as a measure of words."""
        import pyarrow.compute as pc

        return np.minimum(
            pc.call_function("binary_length", [batch.column("sentence")]).to_numpy(), 6 * self.most
        )

    def tensors(self, columns: Sequence[Any]) -> torch.Tensor:
        ids = [
            [self._id(word) for word in sentence.split()[: self.most]] for sentence in columns[0]
        ]
        # As many zeros behind the longest as the widest filter sees: a row's prediction must not
        # depend on the others'.
        padded = np.zeros((len(ids), 4 + max(map(len, ids))), np.int64)
        for row, found in enumerate(ids):
            padded[row, : len(found)] = found
        return torch.from_numpy(padded)

    def _id(self, word: str) -> int:
        found = self.known.get(word)
        if found is None:
            import zlib

            found = self.known[word] = 1 + zlib.crc32(word.encode()) % (self.words - 1)
        return found


class Image(Model):
    """JPEG to 3 x 112 x 112 float32 to the image network."""

    names = ("picture",)

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(ImageNet())

    def tensors(self, columns: Sequence[Any]) -> torch.Tensor:
        from PIL import Image as pictures  # noqa: N813 - a module

        decoded = [
            np.asarray(pictures.open(io.BytesIO(data)).convert("RGB").resize((112, 112)))
            for data in columns[0]
        ]
        return torch.from_numpy(np.stack(decoded).astype(np.float32).transpose(0, 3, 1, 2) / 255.0)


@dataclass(frozen=True)
class Kind:
    """A sort of workload: its model, the size of a batch that suits the bare loop, and how its rows
    are made.
    """

    model: type[Any]
    batch_rows: int
    rows: int
    said: str
    make: Callable[[int, np.random.Generator], dict[str, Any]]
    group_rows: int = 131_072


@dataclass(frozen=True)
class Workload:
    """Rows of a kind in two Parquet files, with a key from 0 on."""

    folder: Path
    rows: int
    kind: str = "tabular"

    @property
    def files(self) -> list[Path]:
        return sorted((self.folder / "input").glob("*.parquet"))

    @property
    def output(self) -> Path:
        return self.folder / "output"

    @property
    def sort(self) -> Kind:
        return KINDS[self.kind]

    @property
    def names(self) -> Sequence[str]:
        return self.sort.model.names


def make_workload(folder: Path, rows: int, kind: str = "tabular") -> Workload:
    """Writes the input once, in blocks that fit into memory."""
    workload = Workload(folder, rows, kind)
    (folder / "input").mkdir(parents=True)
    key, random = 0, np.random.default_rng(0)
    for number in range(_FILES):
        end = rows * (number + 1) // _FILES
        writer = None
        while key < end:
            count = min(KINDS[kind].group_rows, end - key)
            columns = KINDS[kind].make(count, random)
            table = pa.table({"key": np.arange(key, key + count), **columns})
            writer = writer or pq.ParquetWriter(
                folder / "input" / f"{number}.parquet", table.schema
            )
            writer.write_table(table)
            key += count
        if writer is not None:
            writer.close()
    return workload


def _tabular(rows: int, random: np.random.Generator) -> dict[str, Any]:
    return {name: random.standard_normal(rows, dtype=np.float32) for name in NAMES}


_SENTENCES: list[str] = []


def _text(rows: int, random: np.random.Generator) -> dict[str, Any]:
    if not _SENTENCES:
        with tarfile.open(ROOT.parent / "shared/data/review_polarity.tar.gz") as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".txt"):
                    body = archive.extractfile(member)
                    assert body is not None
                    _SENTENCES.extend(
                        line.strip()
                        for line in body.read().decode("latin-1").splitlines()
                        if line.strip()
                    )
    return {
        "sentence": pa.array(
            [_SENTENCES[place] for place in random.integers(0, len(_SENTENCES), rows)]
        )
    }


def _images(rows: int, random: np.random.Generator) -> dict[str, Any]:
    from PIL import Image as pictures  # noqa: N813 - a module

    found = []
    for _ in range(rows):
        coarse = pictures.fromarray(random.integers(0, 256, (14, 14, 3), dtype=np.uint8))
        stream = io.BytesIO()
        coarse.resize((224, 224), pictures.Resampling.BICUBIC).save(stream, "JPEG", quality=85)
        found.append(stream.getvalue())
    return {"picture": pa.array(found, pa.binary())}


KINDS: dict[str, Kind] = {
    "tabular": Kind(Tabular, 2048, 10_000_000, "rows x 64 float32, MLP 64-256-256-1", _tabular),
    "text": Kind(Text, 512, 200_000, "review sentences, words to ids, text CNN", _text, 25_000),
    "image": Kind(Image, 64, 20_000, "JPEG 224 x 224, decoded, small CNN", _images, 500),
    "trees": Kind(Trees, 8192, 5_000_000, "rows x 64 float32, 500 trees of depth 6", _tabular),
}
