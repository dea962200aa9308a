"""deploy/kubernetes/submit.sh: what Spark's own spark-submit asks of an API server, and the files
that it reads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import crd

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
IMAGE = "registry.example.com/batchinfer:0.1.0-cpu"
JOB = ("jobs/nightly.py", "--pipeline", "income", "--slice", "2026-11-21")


class ApiServer:
    """Answers like a Kubernetes API server that has nothing yet: what is created comes back with an
    identity.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        kept = self.asked

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else {}
                kept.append((self.command, self.path.partition("?")[0], body))
                found = self.command != "GET"
                if found:
                    body.setdefault("metadata", {})["uid"] = f"uid-{len(kept)}"
                else:
                    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}
                data = json.dumps(body).encode()
                self.send_response(201 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.answer)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def made(self, kind: str) -> list[dict[str, Any]]:
        return [
            body
            for method, _, body in self.asked
            if method in ("POST", "PATCH", "PUT") and body.get("kind") == kind
        ]


@pytest.fixture
def server() -> Iterator[ApiServer]:
    started = ApiServer()
    yield started
    started.server.shutdown()


def submit(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "KUBECONFIG": "/nowhere",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    environment.pop("SPARK_HOME", None)
    return subprocess.run(
        [str(FOLDER / "submit.sh"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def test_the_driver_that_spark_asks_for_is_ours(server: ApiServer) -> None:
    conf = [
        "--spark",
        "--conf",
        "spark.kubernetes.submission.waitAppCompletion=false",
        "--conf",
        "spark.executor.instances=5",
    ]
    done = submit(server.url, IMAGE, *JOB, *conf)
    assert done.returncode == 0, done.stderr[-3000:]
    [pod] = server.made("Pod")
    assert ("POST", "/api/v1/namespaces/batchinfer/pods") in [
        (method, path) for method, path, _ in server.asked
    ]
    assert pod["spec"]["serviceAccountName"] == "batchinfer"
    assert (
        pod["spec"]["securityContext"]["runAsUser"] == 185
        and pod["spec"]["restartPolicy"] == "Never"
    )
    [container] = pod["spec"]["containers"]
    assert (
        container["image"] == IMAGE
        and {"configMapRef": {"name": "batchinfer"}} in container["envFrom"]
    )
    assert container["args"][0] == "driver", "the word that the image's entrypoint knows"
    job, *arguments = JOB
    assert container["args"][-7:] == [
        f"local:///opt/batchinfer/{job}",
        *arguments,
        "--env",
        "kubernetes",
    ]
    assert {"SPARK_DRIVER_BIND_ADDRESS"} <= {variable["name"] for variable in container["env"]}
    # What the driver reads once it runs.
    properties = "".join(
        text for config in server.made("ConfigMap") for text in config.get("data", {}).values()
    )
    properties = properties.replace("\\", "")  # Java escapes : and =
    assert "spark.executor.instances=5" in properties, "what follows --spark wins over the file"
    assert f"spark.kubernetes.container.image={IMAGE}" in properties


def test_usage(server: ApiServer) -> None:
    done = submit(server.url, IMAGE, "score.py")
    assert done.returncode == 2 and done.stderr.startswith(
        "usage: submit.sh API-SERVER IMAGE jobs/JOB.py"
    )
    assert server.asked == []


def test_the_pod_template_is_one() -> None:
    template = yaml.safe_load((FOLDER / "pod.yaml").read_text())
    assert (template.pop("apiVersion"), template.pop("kind")) == ("v1", "Pod")
    assert crd.problems(template, crd.pod_schema()) == []
    template["spec"]["containers"][0]["envForm"] = []
    assert crd.problems(template, crd.pod_schema())


def test_every_setting_is_one_that_spark_knows() -> None:
    """By its own jars: a misspelt name would be carried along, and do nothing."""
    names = [
        line.split()[0]
        for line in (FOLDER / "spark.properties").read_text().splitlines()
        if line[:1] not in ("#", "")
    ]
    assert len(names) == len(set(names)) > 5
    script = (
        "import sys\n"
        "from pyspark.java_gateway import launch_gateway\n"
        "jvm = launch_gateway().jvm\n"
        "for module in ('org.apache.spark.internal.config.package$', "
        "'org.apache.spark.deploy.k8s.Config$'):\n"
        "    jvm.java.lang.Class.forName(module)\n"
        "entry = jvm.org.apache.spark.internal.config.ConfigEntry.findEntry\n"
        "print([name for name in sys.argv[1:] if entry(name) is None])\n"
    )
    command = [sys.executable, "-c", script, *names, "spark.executor.memmory"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.stdout.strip() == "['spark.executor.memmory']", done.stderr[-2000:]


def test_every_place_that_pods_name_is_one_of_the_example() -> None:
    objects = {
        item["kind"]: item for item in yaml.safe_load_all((FOLDER / "places.yaml").read_text())
    }
    pod = yaml.safe_load((FOLDER / "pod.yaml").read_text())["spec"]
    assert (
        pod["containers"][0]["envFrom"][0]["configMapRef"]["name"]
        == objects["ConfigMap"]["metadata"]["name"]
    )
    assert (
        pod["volumes"][0]["persistentVolumeClaim"]["claimName"]
        == objects["PersistentVolumeClaim"]["metadata"]["name"]
    )
    assert objects["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"], (
        "driver and executors write"
    )
    shared = pod["containers"][0]["volumeMounts"][0]["mountPath"]
    told = objects["ConfigMap"]["data"]
    assert told["BATCHINFER_STAGING"].startswith(f"{shared}/"), "a place that all pods see"
    environment = (FOLDER.parents[1] / "conf" / "environments" / "kubernetes.yaml").read_text()
    assert all(f"${{{name}}}" in environment for name in told if name != "DATA_DIR")


def test_the_rights_are_for_the_account_that_the_pods_have() -> None:
    objects = {
        item["kind"]: item for item in yaml.safe_load_all((FOLDER / "rights.yaml").read_text())
    }
    assert set(objects) == {"Namespace", "ServiceAccount", "Role", "RoleBinding"}
    [subject] = objects["RoleBinding"]["subjects"]
    account = objects["ServiceAccount"]["metadata"]
    assert (
        (subject["name"], subject["namespace"])
        == (account["name"], account["namespace"])
        == ("batchinfer", "batchinfer")
    )
    assert objects["RoleBinding"]["roleRef"]["name"] == objects["Role"]["metadata"]["name"]
    # What Spark's documentation has: a driver that may not delete leaves executors behind.
    assert {"create", "delete", "watch", "deletecollection"} <= set(
        objects["Role"]["rules"][0]["verbs"]
    )
