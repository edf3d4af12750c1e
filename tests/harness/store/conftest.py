"""A real S3 server on this machine."""

import uuid

import pytest


@pytest.fixture(scope="session")
def s3():
    """Its environment variables, for this process and for those it starts; skips where there is none to start."""
    server = pytest.importorskip("moto.server", reason="needs moto, an S3 server to test against")
    pytest.importorskip("s3fs", reason="needs s3fs, as unveil[s3] has it")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    running.stop()


@pytest.fixture
def bucket(s3, monkeypatch):
    """URL of a folder in a bucket of its own."""
    import boto3  # noqa: PLC0415 (only where it is)

    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    name = f"audit-{uuid.uuid4().hex[:8]}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}/runs"
