"""Apache Kafka in KRaft mode as one process on loopback, for the tests that want the real broker."""

import base64
import hashlib
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path
from uuid import uuid4

from crm_local.kafka import KafkaFailed
from crm_local.leash import guard, leashed, release
from crm_local.ports import HOST

# What the clients are told beyond the address: this broker is what their defaults are made for.
CLIENT_SETTINGS: dict[str, str] = {}

_ROOT = Path(__file__).resolve().parents[4]
_POM = _ROOT / "deploy" / "kafka" / "pom.xml"
_CACHE = _ROOT / ".cache" / "kafka"

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=BROKER://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=BROKER://{host}:{port},CONTROLLER://{host}:{controller_port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers={host}:{controller_port}
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
# What topics of a short memory forget is to be gone while a test waits.
log.cleaner.backoff.ms=1000
log.retention.check.interval.ms=1000
# A killed broker may register again only when its old session is over: be quick to forget it.
broker.heartbeat.interval.ms=250
broker.session.timeout.ms=1500
"""

# Metadata (3) in version 1, about no topic, from nobody; its answer: size, correlation id, count of brokers.
_METADATA = struct.pack(">ihhihi", 14, 3, 1, 0, -1, 0)
_ANSWER = struct.Struct(">iii")


def jars() -> Path:
    """The folder of Kafka's jars, fetched through Maven the first time; another pom is another folder."""
    folder = _CACHE / hashlib.sha256(_POM.read_bytes()).hexdigest()[:16]
    if folder.exists():
        return folder
    for program, package in (("java", "default-jre-headless"), ("mvn", "maven")):
        if shutil.which(program) is None:
            raise KafkaFailed(f"Apache Kafka needs {program}: apt-get install {package}")
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={partial}"]
    _run("mvn", "--batch-mode", "--quiet", "--strict-checksums", "--file", str(_POM), *goal)
    return partial.rename(folder)


class ApacheKafka:
    """One broker whose records live in `folder`; clients use `port`, its own controller `port + 1`."""

    name = "kafka"
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder.resolve()
        self.port = port
        self.bootstrap_servers = f"{HOST}:{port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "kafka.log"

    @property
    def properties(self) -> Path:
        return self.folder / "server.properties"

    def prepare(self) -> None:
        """Write its settings, and format its storage with a new cluster id if there is none."""
        self.folder.mkdir(parents=True, exist_ok=True)
        controller_port = self.port + 1
        self.properties.write_text(
            _PROPERTIES.format(host=HOST, port=self.port, controller_port=controller_port, data=self.data)
        )
        if not (self.data / "meta.properties").exists():
            tool = [
                *_java("-XX:TieredStopAtLevel=1"),
                "kafka.tools.StorageTool",
                "format",
                "--ignore-formatted",
            ]
            _run(*tool, "--standalone", "--cluster-id", _cluster_id(), "--config", str(self.properties))

    def command(self) -> list[str]:
        """The broker in the foreground, ending with this process; needs `prepare`."""
        options = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-Dorg.apache.logging.log4j.level=WARN")
        return leashed([*_java(*options), "kafka.Kafka", str(self.properties)])

    def missing(self) -> str | None:
        """Why it cannot serve yet; None when it can, which is some time after its port opens."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                connection.sendall(_METADATA)
                answer = connection.makefile("rb").read(_ANSWER.size)
        except OSError as error:
            return str(error)
        if len(answer) < _ANSWER.size:
            return "closes the connection"
        _size, _correlation, brokers = _ANSWER.unpack(answer)
        return None if brokers else "has no broker in its cluster yet"

    def start(self, within: float = 60) -> None:
        """Start it with the records of last time, or empty, as a new cluster, where there are none.

        One that runs is left alone.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self.prepare()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, start_new_session=True)
        self._guard = guard(self._process.pid)
        deadline = time.monotonic() + within
        while why := self.missing():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                last_words = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
                raise KafkaFailed(f"Apache Kafka did not start: {why}\n{last_words}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it in order; the records stay."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End it as a crash would; the records stay."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Crash it and start it again on its records."""
        self.kill()
        self.start()

    def wipe(self) -> None:
        """Crash it, lose its disk and start it again: empty, as another cluster."""
        self.kill()
        shutil.rmtree(self.data, ignore_errors=True)
        self.start()

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            release(self._guard)
        self._process = self._guard = None


def _java(*options: str) -> list[str]:
    return ["java", *options, "-cp", f"{jars()}/*"]


def _run(*command: str) -> None:
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if ended.returncode:
        raise KafkaFailed(f"{command[0]} failed:\n{(ended.stdout + ended.stderr).strip()[-2000:]}")


def _cluster_id() -> str:
    """A random id in Kafka's spelling, which its command line would misread with a leading dash."""
    while (spelled := base64.urlsafe_b64encode(uuid4().bytes).rstrip(b"=").decode()).startswith("-"):
        continue
    return spelled


if __name__ == "__main__":
    print(jars())
