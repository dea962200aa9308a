"""Makes what a scheduler reads, from a pipeline's own `schedule:`.

    python deploy/render.py systemd    -p income --to /etc/systemd/system
    python deploy/render.py cron       -p income > /etc/cron.d/batchinfer-income
    python deploy/render.py kubernetes -p income --image registry.example.com/batchinfer:0.1.0-cpu \
        | kubectl apply -f -

Owns the templates beside it. Reads the pipeline file as it is: variables that only the machines of
the run have stay unread. Exit 2, and a sentence with file and line, where the file cannot be
scheduled.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from pathlib import Path
from string import Template

import yaml

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "src"))

from batchinfer.errors import (  # noqa: E402
    POINTLESS,
    BatchInferError,
    ConfigError,
)
from batchinfer.schedule import Schedule, night_steps, read_schedule  # noqa: E402

TEMPLATES = Path(__file__).with_name("templates")
# What each scheduler is given, by the name of the file.
FILES = {
    "systemd": ("batchinfer-$name.service", "batchinfer-$name.timer"),
    "cron": ("batchinfer-$name",),
    "kubernetes": ("batchinfer-$name.yaml",),
}


def read_pipeline(ref: str) -> tuple[str, Schedule]:
    """(name of the pipeline as schedulers take it, its schedule).

    Raises:
        ConfigError: no such file, no YAML, no schedule, one that is wrong, or slices that no night
            can score.
    """
    file = (
        Path(ref)
        if ref.endswith((".yaml", ".yml")) or "/" in ref
        else CHECKOUT / "conf" / "pipelines" / f"{ref}.yaml"
    )
    if not file.is_file():
        names = ", ".join(
            sorted(path.stem for path in (CHECKOUT / "conf" / "pipelines").glob("*.yaml"))
        )
        raise ConfigError(
            f"pipeline: got {ref!r}, looked for at {file}; allowed: {names}, or the path of a YAML "
            "file"
        )
    try:
        text = file.read_text(encoding="utf-8")
        document, node = yaml.safe_load(text), yaml.compose(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: no YAML: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("name"), str):
        raise ConfigError(f"{file}: got no name; allowed: a pipeline file")
    if document.get("schedule") is None:
        raise ConfigError(
            f'{file}: got no schedule; allowed: a line such as schedule: "15 2 * * *"'
        )
    try:
        schedule = read_schedule(document["schedule"])
    except ConfigError as error:
        line = next(key.start_mark.line + 1 for key, _ in node.value if key.value == "schedule")
        raise ConfigError(f"{file}:{line}: schedule: {error}") from error
    try:
        night_steps((document.get("source") or {}).get("slice"), dt.date.today())
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}", error.hint) from error
    return document["name"], schedule


def render(kind: str, options: argparse.Namespace) -> dict[str, str]:
    """Text of each file by its name."""
    pipeline, schedule = read_pipeline(options.pipeline)
    values = {
        "pipeline": pipeline,
        # Names of objects in Kubernetes take neither _ nor capitals.
        "name": pipeline.replace("_", "-").lower(),
        "ref": options.pipeline
        if "/" not in options.pipeline
        else str(Path(options.pipeline).resolve()),
        "schedule": schedule.text,
        "on_calendar": "\n".join(f"OnCalendar={text}" for text in schedule.on_calendar()),
        "pointless": " ".join(str(code) for code in POINTLESS),
        **{
            name: str(value)
            for name, value in vars(options).items()
            if name not in ("pipeline", "to")
        },
    }
    names = [Template(name).substitute(values) for name in FILES[kind]]
    templates = sorted(TEMPLATES.glob(f"{kind}.*"))
    return {
        name: Template(template.read_text(encoding="utf-8")).substitute(values)
        for name, template in zip(names, templates, strict=True)
    }


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="render.py", description=__doc__.splitlines()[0] if __doc__ else None
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind in FILES:
        one = kinds.add_parser(kind)
        one.add_argument("-p", "--pipeline", required=True, metavar="NAME|FILE")
        one.add_argument(
            "--to", type=Path, metavar="FOLDER", help="write files here (default: standard output)"
        )
        if kind == "kubernetes":
            one.add_argument("--image", required=True)
            one.add_argument("--namespace", default="batchinfer")
            one.add_argument("--executors", type=int, default=2)
            continue
        one.add_argument(
            "--checkout", default=str(CHECKOUT), help="the folder of the checkout on that machine"
        )
        one.add_argument("--user", default="batchinfer", help="who runs it (default: batchinfer)")
        one.add_argument(
            "--env", default="local", help="an environment of conf/environments (default: local)"
        )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Writes the files, or prints them; returns the exit code."""
    options = _options(argv)
    try:
        files = render(options.kind, options)
    except BatchInferError as error:
        print(
            f"render.py: {error}" + (f"\nHint: {error.hint}" if error.hint else ""), file=sys.stderr
        )
        return error.exit_code
    for name, text in files.items():
        if options.to is None:
            print(f"# {name}\n{text}" if len(files) > 1 else text, end="")
        else:
            (options.to / name).write_text(text, encoding="utf-8")
            print(options.to / name, file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
