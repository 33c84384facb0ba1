"""Stores for tests: on a local disk, in memory, and on an S3 server run by this process."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from motion_adapt.storage.artifacts.store import ArtifactStore

_numbers = itertools.count()


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    """Return the URL of an empty bucket on a moto server; child processes find the server by the environment."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket="stores")
        yield "s3://stores"
    server.stop()


@pytest.fixture
def careless(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the same bucket for child processes, on a server that ignores conditions of a PUT."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    heeding = DomainDispatcherApplication(create_backend_app)

    def heedless(environ: dict[str, Any], start_response: Any) -> Any:
        environ.pop("HTTP_IF_NONE_MATCH", None)
        return heeding(environ, start_response)

    server = make_server("127.0.0.1", 0, heedless, threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    yield bucket
    server.shutdown()


@pytest.fixture(params=["local", "s3"])
def patterned(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    """Return an empty store in a folder whose name reads as a pattern."""
    root = tmp_path if request.param == "local" else f"{request.getfixturevalue('bucket')}/{next(_numbers)}"
    return ArtifactStore(f"{root}/videos [2024]*/store")


@pytest.fixture(params=["local", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    """Return an empty store on each supported kind of file system."""
    if request.param == "local":
        return ArtifactStore(tmp_path / "store")
    root = "memory://" if request.param == "memory" else request.getfixturevalue("bucket") + "/"
    return ArtifactStore(f"{root}store-{next(_numbers)}")
