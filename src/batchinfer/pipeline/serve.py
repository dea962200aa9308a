"""`serve`: predictions of pipelines over HTTP, from their online stores.

What the service is told of a pipeline is made here: it knows values alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from batchinfer.config.loader import load_environment
from batchinfer.config.project import find_project, nearest_project, pipeline_files
from batchinfer.errors import ConfigError, SetupError
from batchinfer.lookups.fallback_chain import FallbackChain
from batchinfer.pipeline.answering.lone_keys import keys_refused
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.slice_names import unit_of
from batchinfer.pipeline.loading.load_targets import chosen_targets, store_of
from batchinfer.report.terminal import show_line
from batchinfer.service.caller_keys import read_callers
from batchinfer.service.served_values import (
    AskedPipeline,
    Bounds,
    Listening,
    ServedPipeline,
    ServiceSettings,
)

# What a worker runs: it can score, which the service itself cannot.
WORKER_MODULE = "batchinfer.pipeline.answering.service_entry"
_PACKAGES = ("fastapi", "fastapi_offline", "uvicorn", "uvloop", "httptools", "prometheus_client")


def serve_pipelines(
    refs: Sequence[str],
    env: str,
    overrides: Sequence[str] = (),
    store: str | None = None,
    listening: Listening | None = None,
    bounds: Bounds | None = None,
    workers: int = 2,
    callers_file: Path | None = None,
    log_requests: bool = True,
    log_keys: bool = False,
    warm: bool = False,
) -> None:
    """Serves until a signal comes.

    Args:
        refs: pipelines; none: all of the project.
        store: the kind of store that is read; None: the first that a pipeline names.
        callers_file: with keys of callers.
        warm: workers load models before they take requests, not at the first question for them.

    Raises:
        Interrupted: a signal came, and requests in flight were answered.
        ConfigError: pipelines, keys or an address that cannot be served; every problem of the first
            of these at once.
        SetupError: the packages of the service are not installed.
    """
    _check_packages()
    contexts = _contexts(refs, env, overrides)
    pipelines = tuple(
        _served(context, store, AskedPipeline(ref, env, tuple(overrides)))
        for ref, context in contexts.items()
    )
    settings = ServiceSettings(
        pipelines=pipelines,
        listening=listening or Listening(),
        bounds=bounds or Bounds(),
        callers=read_callers(callers_file, [served.name for served in pipelines]),
        log_requests=log_requests,
        log_keys=log_keys,
        warm=warm,
    )
    from batchinfer.service.worker_watch import serve_by_workers

    serve_by_workers(settings, workers, WORKER_MODULE)


def _check_packages() -> None:
    from importlib.util import find_spec

    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise SetupError(
            f"serve: not installed: {', '.join(missing)}",
            "pip install 'batchinfer[serve]' installs what the service needs",
        )


def _contexts(refs: Sequence[str], env: str, overrides: Sequence[str]) -> dict[str, Context]:
    project = find_project(Path.cwd())
    load_environment(env, project)
    named = list(dict.fromkeys(refs)) or [file.stem for file in pipeline_files(project)]
    if not refs and named and nearest_project(Path.cwd()) is None:
        show_line(f"batchinfer: serves the pipelines of {project}")
    if not named:
        raise ConfigError(
            f"serve: {project} has no pipelines; allowed: -p with a name or a YAML file"
        )
    contexts: dict[str, Context] = {}
    problems: list[str] = []
    for ref in named:
        try:
            contexts[ref] = Context.open(ref, env, overrides)
        except ConfigError as error:
            problems += error.problems
    names = [context.name for context in contexts.values()]
    problems += [
        f"-p: pipeline {name} is named twice; allowed: each name once"
        for name in sorted(set(names))
        if names.count(name) > 1
    ]
    if problems:
        raise ConfigError(problems)
    return contexts


def _served(context: Context, store: str | None, asked: AskedPipeline) -> ServedPipeline:
    target = chosen_targets(context, store)[0]
    # Its address and its driver: a worker that lacks them would say so too late.
    store_of(context, target).close()
    fallback = context.pipeline.fallback
    return ServedPipeline(
        name=context.name,
        table=context.predictions,
        target=target,
        home=str(context.loaded.home),
        key=tuple(context.pipeline.source.key),
        slice_unit=unit_of(context.pipeline.source.slice),
        load_command=str(context.asked.command("load")),
        publish_command=str(context.asked.command("score")),
        fallback=None if fallback is None else FallbackChain.of(fallback),
        fallback_table=context.fallbacks,
        asked=asked,
        keys_refused=keys_refused(context.pipeline),
        extract_command=str(context.extract_command()),
        models_command=str(context.asked.command("models")),
        sensitive=tuple(sorted(context.sensitive.names)),
    )
