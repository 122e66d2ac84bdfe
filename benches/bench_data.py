"""What benches/compare works on: a PostgreSQL server of its own, a database
whose dump has about 1.5 GB and trees of files. Made once and kept; each part has
a marker file that is written when it is whole, so an interrupted preparation
begins that part anew."""

import os
import random
import shutil
import subprocess
import sys
from functools import cached_property
from pathlib import Path

PGBENCH_SCALE = 100
TEXT_TABLE_BYTES = 500_000_000
TREE_BYTES = 1_000_000_000
BIG_TREE_BYTES = 20_000_000_000
PG_DUMP_GZIP = "pg_dump bench | pigz -p2 -6"


def run(command, **options):
    """A step of the preparation; its failure ends the benchmark."""
    return subprocess.run(command, check=True, **options)


class Cluster:
    """A PostgreSQL server of its own, reached through a socket in its directory."""

    def __init__(self, root):
        self.socket = root / "socket"
        self.data = root / "data"
        programs = Path("/usr/lib/postgresql").glob("*/bin/initdb")
        self.bin = max(programs, key=lambda path: int(path.parts[4])).parent
        # PostgreSQL refuses to run as root.
        self.user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        for directory in (root, self.socket):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.user:
                shutil.chown(directory, "postgres")
        if not (self.data / "PG_VERSION").exists():
            initdb = "-U postgres -A trust -E UTF8 --no-locale --no-sync"
            self.admin("initdb", "-D", self.data, *initdb.split())

    def admin(self, program, *arguments):
        command = [*self.user, self.bin / program, *arguments]
        run(command, stdout=subprocess.DEVNULL, cwd=self.data.parent)

    def start(self):
        # Fast enough to prepare and restore on; reading is not changed by it.
        settings = f"-c listen_addresses= -c unix_socket_directories={self.socket}"
        settings += " -c fsync=off -c max_wal_size=8GB -c shared_buffers=512MB"
        log = self.data.parent / "log"
        self.admin("pg_ctl", "-D", self.data, "-l", log, "-w", "-o", settings, "start")

    def stop(self):
        self.admin("pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop")


class Data:
    """What is backed up: made once, kept between runs of the benchmark."""

    def __init__(self, root, pgbench):
        self.root = root
        self.pgbench = pgbench

    def made(self, name, make):
        """Calls `make` unless it once came to its end."""
        marker = self.root / f"{name}.made"
        if not marker.exists():
            print(f"preparing {name}", file=sys.stderr)
            make()
            marker.touch()

    def prepare(self):
        self.made("age", lambda: self.shell("rm -f age-identity; age-keygen -o age-identity"))
        self.made("database", self.make_database)
        self.made("tree", lambda: copy_tree(self.root / "tree", TREE_BYTES))
        self.made("dump.sql.gz", lambda: self.shell(f"{PG_DUMP_GZIP} >dump.sql.gz"))
        self.made("tree.tar.gz", lambda: self.shell("tar c tree | pigz -p2 -6 >tree.tar.gz"))
        self.made("dump.age", lambda: self.shell("age -e -i age-identity -o dump.age dump.sql.gz"))

    def shell(self, line):
        run(["bash", "-o", "pipefail", "-c", line], cwd=self.root)

    def make_database(self):
        run(["dropdb", "--if-exists", "bench"])
        run(["createdb", "bench"])
        fill = [self.pgbench, "-i", "-q", "-s", str(PGBENCH_SCALE), "bench"]
        run(fill, stderr=subprocess.DEVNULL)
        create = "CREATE TABLE article (id int PRIMARY KEY, body text, meta jsonb)"
        run(["psql", "-qX", "bench", "-c", create])
        copy = ["psql", "-qX", "bench", "-c", "COPY article FROM STDIN"]
        with subprocess.Popen(copy, stdin=subprocess.PIPE) as psql:
            for line in articles(TEXT_TABLE_BYTES):
                psql.stdin.write(line)
            psql.stdin.close()
            if psql.wait() != 0:
                sys.exit("COPY failed")
        run(["psql", "-qX", "bench", "-c", "VACUUM ANALYZE"])

    @cached_property
    def big_tree(self):
        directory = self.root / "big-tree"
        self.made("big-tree", lambda: write_big_tree(directory))
        return directory


def articles(limit_bytes):
    """COPY lines of text and jsonb that compress as prose does, not as filler."""
    chance = random.Random(1)
    letters = "etaoinshrdlucmfwypvbgkjqxzäö"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 11))) for _ in range(20_000)]
    # Zipf's law, as words have it.
    weights = [1 / (rank + 1) for rank in range(len(words))]
    cumulative = [sum(weights[:1])]
    for weight in weights[1:]:
        cumulative.append(cumulative[-1] + weight)
    written_bytes = number = 0
    while written_bytes < limit_bytes:
        number += 1
        body = " ".join(chance.choices(words, cum_weights=cumulative, k=60))
        meta = f'{{"score": {chance.random():.6f}, "author": "{chance.choice(words)}"}}'
        line = f"{number}\t{body}\t{meta}\n".encode()
        written_bytes += len(line)
        yield line


def copy_tree(target, limit_bytes):
    """Headers, text and binaries of this machine, until there is enough."""
    shutil.rmtree(target, ignore_errors=True)
    copied_bytes = 0
    for top in ("include", "share", "bin", "lib"):
        for directory, subdirectories, names in os.walk(f"/usr/{top}"):
            subdirectories.sort()
            here = target / Path(directory).relative_to("/usr")
            here.mkdir(parents=True, exist_ok=True)
            for name in sorted(names):
                source = Path(directory, name)
                if source.is_symlink() or not source.is_file() or not os.access(source, os.R_OK):
                    continue
                shutil.copy2(source, here / name)
                copied_bytes += source.stat().st_size
            if copied_bytes > limit_bytes:
                return


def write_big_tree(target):
    """Files of 1 GB that compress a little; their content does not matter."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    piece = b"".join(os.urandom(1000) + b"some text " * 300 for _ in range(16_000))
    for number in range(BIG_TREE_BYTES // 1_000_000_000):
        with open(target / f"file-{number}", "wb") as file:
            for _ in range(1_000_000_000 // len(piece)):
                file.write(piece)
